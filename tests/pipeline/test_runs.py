"""What a run folder holds besides its weights."""

import logging

from pipeline.runs import log_to


def test_a_log_on_a_full_disk_is_one_warning_and_no_traceback(tmp_path, capfd):
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    (tmp_path / "log.txt").symlink_to("/dev/full")
    try:
        log_to(tmp_path)
        for number in range(3):
            logging.getLogger("stages").info("line %d", number)
    finally:
        (added,) = [handler for handler in root.handlers if handler not in handlers]
        root.removeHandler(added)
        root.setLevel(level)
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and "log.txt cannot be written" in said and "No space left" in said
