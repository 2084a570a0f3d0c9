"""The click group `keyreid`: the table of contents, and how errors reach the user."""

import importlib
import io
import os
import sys
from pathlib import Path

import click

from cache.border import reading
from cache.errors import KeyReIDError
from stages.terminal import one_line, say, short, show_warnings

# In the order in which a user meets them. Modules are imported when called, so that --help is quick.
GROUPS = {
    "Data": {
        "demo": "All of it on walkers: synthesize, extract-poses, train, eval.",
        "synthesize": "Make the walkers data set: animated pedestrians with exact keypoints.",
        "synthesize-videos": "Make videos of walkers who cross before cameras, with exact boxes.",
        "doctor": "Check a data set: layout, counts, every frame.",
    },
    "Stage one": {
        "extract-poses": "Run HRNet over every frame and fill the pose cache.",
        "import-poses": "Fill the pose cache from keypoints of other tools.",
        "cache": "Inspect a pose cache, check every byte of it, draw a frame.",
    },
    "Stage two": {
        "train": "Train the dual-branch transformer on frames and cached poses.",
        "eval": "Embed the test set, rank it, score it, draw it.",
        "report": "Write one HTML page about an evaluated run.",
        "probe": "Replace heat, attention or patches of a trained network and score it.",
        "compare": "Test the difference between two evaluations, query by query.",
        "ablation": "Train and score variants of the network on walkers.",
    },
    "Own footage": {
        "track": "Detect and track persons in videos, and cut tracklets.",
        "import-mot": "Cut tracklets from your own video with the tracks of any tracker.",
        "embed": "Embed tracklets into a gallery, stage one included.",
        "gallery": "List, check, merge and thin out galleries.",
        "search": "Rank a gallery by distance to a query; draw it.",
        "link": "Link tracklets over cameras and days to identities: who was where.",
        "browse": "Write a page of who was where, to be opened in a browser.",
        "calibrate": "Measure rejection thresholds on a labelled gallery.",
    },
    "Tools": {
        "convert-weights": "Turn the released weights into a checkpoint of this program.",
        "model-info": "Print parameters and operations of the network, by part.",
        "export": "Export the trained networks to ONNX.",
        "fit-pose": "Train the small HRNet for walkers.",
        "env": "Print versions, device and threads, for bug reports.",
    },
}
COMMANDS = {name: about for group in GROUPS.values() for name, about in group.items()}
INTERRUPTED = 130


class LazyGroup(click.Group):
    """Imports `pipeline.commands.<name>` only for the command that is called."""

    def list_commands(self, ctx):
        return list(COMMANDS)

    def get_command(self, ctx, name):
        if name not in COMMANDS:
            return None
        return importlib.import_module(f"pipeline.commands.{name.replace('-', '_')}").command

    def format_commands(self, ctx, formatter):
        width = max(map(len, COMMANDS))
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), about) for name, about in commands.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="keyreid")
def keyreid(debug: bool) -> None:
    """Find a person filmed by one camera in the clips of other cameras.

    Two stages, joined by a pose cache: extract-poses, then train and eval.
    Start with `make demo`, or `keyreid COMMAND --help`.

    Completion in bash: eval "$(_KEYREID_COMPLETE=bash_source keyreid)"
    (zsh_source in zsh, fish_source in fish).
    """
    with reading("the current folder", missing="it was deleted; change to another one"):
        Path.cwd()  # where there is none, libraries that are loaded later end the process


def main() -> None:
    """Entry point: mistakes in the input end in one line and exit code 2, Ctrl-C in one line and 130.

    An OSError about a path that no check caught, such as a name that is too long, is such a mistake.
    """
    debug = "--debug" in sys.argv or os.environ.get("KEYREID_DEBUG") == "1"
    if "--debug" in sys.argv:
        sys.argv.remove("--debug")  # accepted before and after the subcommand
    if isinstance(sys.stdout, io.TextIOWrapper):  # a locale without ✓ or é prints them as escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    show_warnings()
    try:
        sys.exit(keyreid.main(prog_name="keyreid", standalone_mode=False))
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        say(short(shown.getvalue().rstrip()), error=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        exec("")  # else python -m ends by the signal where it came inside an exec, as of a dataclass
        say("keyreid: interrupted", error=True)
        sys.exit(INTERRUPTED)
    except KeyReIDError as error:
        if debug:
            raise
        say(f"keyreid: error: {short(one_line(error))}", error=True)
        sys.exit(2)
    except OSError as error:
        if debug or error.filename is None:
            raise
        say(f"keyreid: error: {short(one_line(error.filename))}: {error.strerror}", error=True)
        sys.exit(2)
