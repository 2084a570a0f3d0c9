"""Who wears what: identities, and pairs that differ in one part only."""

import colorsys
from dataclasses import dataclass, fields, replace

import numpy as np

Colour = tuple[float, float, float]  # red, green, blue in [0, 1]

SKIN = ((0.96, 0.80, 0.69), (0.87, 0.68, 0.53), (0.76, 0.55, 0.40), (0.55, 0.37, 0.26), (0.36, 0.24, 0.18))
HAIR = (
    (0.07, 0.06, 0.06), (0.20, 0.13, 0.09), (0.38, 0.24, 0.13), (0.75, 0.58, 0.32),
    (0.56, 0.23, 0.10), (0.62, 0.60, 0.58), (0.88, 0.86, 0.82),
)  # fmt: skip
NEUTRALS = (
    (0.06, 0.06, 0.07), (0.22, 0.22, 0.24), (0.50, 0.50, 0.51), (0.92, 0.92, 0.90),
    (0.10, 0.13, 0.28), (0.76, 0.68, 0.54), (0.35, 0.25, 0.18), (0.28, 0.30, 0.20),
)  # fmt: skip
PALETTE = NEUTRALS + tuple(
    colorsys.hsv_to_rgb(hue / 12, saturation, value)
    for hue in range(12)
    for saturation, value in ((0.78, 0.80), (0.55, 0.48))
)

# The parts in which two persons may differ, and the fields each is made of.
PARTS = {
    "head": ("hair", "hair_style", "hat", "hat_colour"),
    "torso": ("upper", "upper_second", "upper_pattern", "front"),
    "arms": ("sleeve", "sleeve_left", "sleeve_right"),
    "legs": ("lower_kind", "lower", "lower_second", "lower_pattern", "leg_right"),
    "shoes": ("shoes", "socks"),
    "bag": ("bag", "bag_colour"),
}


@dataclass(frozen=True)
class Clothes:
    """Everything that distinguishes one walker from another, but for build and gait."""

    skin: Colour
    hair: Colour
    hair_style: str  # short, long, bun, bald
    hat: str  # none, cap, beanie
    hat_colour: Colour
    upper: Colour
    upper_second: Colour
    upper_pattern: str  # plain, stripes, bars, checks, block
    front: str  # closed, open (second colour shows), print
    hem: float  # where the upper garment ends: 0 waist, 1 knee
    sleeve: float  # 0 none, 0.5 elbow, 1 wrist
    sleeve_left: Colour
    sleeve_right: Colour
    lower_kind: str  # trousers, shorts, skirt, dress
    lower: Colour
    lower_second: Colour
    lower_pattern: str
    leg_right: Colour
    shoes: Colour
    socks: Colour
    bag: str  # none, backpack, satchel, handbag
    bag_colour: Colour


@dataclass(frozen=True)
class Build:
    """Body and gait of a person."""

    height: float  # metres
    girth: float  # 1 is average
    shoulders: float  # 1 is average
    stride: float  # amplitude of the hip, radians
    swing: float  # amplitude of the arms, radians
    cadence: float  # steps' phase per frame, radians
    lean: float  # forward lean of the trunk, radians
    elbow: float  # resting flexion of the elbow, radians
    arms: str  # free, phone, pockets, hold


@dataclass(frozen=True)
class Identity:
    clothes: Clothes
    build: Build


class Decks:
    """Deals palette colours part by part, so that a group of persons covers the palette evenly."""

    def __init__(self, rng: np.random.Generator):
        self.rng, self.decks = rng, {}

    def colour(self, part: str, palette=PALETTE) -> Colour:
        deck = self.decks.setdefault(part, [])
        if not deck:
            deck.extend(self.rng.permutation(len(palette)).tolist())
        return _jitter(self.rng, palette[deck.pop()])


def _jitter(rng: np.random.Generator, colour: Colour, amount: float = 0.03) -> Colour:
    return tuple(
        float(v) for v in np.clip(np.asarray(colour) + rng.normal(0, amount, 3), 0.02, 0.97).round(4)
    )


def _choice(rng: np.random.Generator, options: dict[str, float]) -> str:
    names = list(options)
    weights = np.array([options[n] for n in names], float)
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def draw_clothes(rng: np.random.Generator, decks: Decks) -> Clothes:
    """One person's clothes: every part's colour is drawn on its own."""
    upper = decks.colour("upper")
    lower = decks.colour("lower")
    sleeve = upper if rng.random() < 0.65 else decks.colour("sleeve")
    odd_sleeve = decks.colour("sleeve") if rng.random() < 0.15 else sleeve
    lower_kind = _choice(rng, {"trousers": 0.56, "shorts": 0.18, "skirt": 0.18, "dress": 0.08})
    hem = float(rng.choice([0.0, 0.12, 0.22, 0.65], p=[0.35, 0.3, 0.2, 0.15]))
    if lower_kind == "dress":
        lower, hem = upper, 0.0
    hat = _choice(rng, {"none": 0.72, "cap": 0.14, "beanie": 0.14})
    return Clothes(
        skin=_jitter(rng, SKIN[rng.integers(len(SKIN))], 0.015),
        hair=decks.colour("hair", HAIR),
        hair_style=_choice(rng, {"short": 0.45, "long": 0.3, "bun": 0.15, "bald": 0.1}),
        hat=hat,
        hat_colour=decks.colour("hat"),
        upper=upper,
        upper_second=decks.colour("second"),
        upper_pattern=_choice(
            rng, {"plain": 0.5, "stripes": 0.17, "bars": 0.09, "checks": 0.12, "block": 0.12}
        ),
        front=_choice(rng, {"closed": 0.6, "open": 0.22, "print": 0.18}),
        hem=hem,
        sleeve=float(rng.choice([0.0, 0.3, 0.5, 1.0], p=[0.08, 0.27, 0.1, 0.55])),
        sleeve_left=sleeve,
        sleeve_right=odd_sleeve,
        lower_kind=lower_kind,
        lower=lower,
        lower_second=decks.colour("second"),
        lower_pattern=_choice(rng, {"plain": 0.78, "bars": 0.08, "checks": 0.08, "stripes": 0.06}),
        leg_right=decks.colour("lower") if rng.random() < 0.06 and lower_kind == "trousers" else lower,
        shoes=decks.colour("shoes"),
        socks=decks.colour("socks"),
        bag=_choice(rng, {"none": 0.48, "backpack": 0.24, "satchel": 0.15, "handbag": 0.13}),
        bag_colour=decks.colour("bag"),
    )


def draw_build(rng: np.random.Generator) -> Build:
    """One person's body and gait, over the range of adults."""
    return Build(
        height=float(np.clip(rng.normal(1.72, 0.09), 1.5, 1.95)),
        girth=float(np.clip(rng.normal(1.0, 0.16), 0.75, 1.5)),
        shoulders=float(np.clip(rng.normal(1.0, 0.07), 0.84, 1.18)),
        stride=float(rng.uniform(0.30, 0.46)),
        swing=float(rng.uniform(0.25, 0.5)),
        cadence=float(rng.uniform(0.42, 0.62)),
        lean=float(rng.uniform(0.0, 0.10)),
        elbow=float(rng.uniform(0.12, 0.5)),
        arms=_choice(rng, {"free": 0.70, "phone": 0.11, "pockets": 0.12, "hold": 0.07}),
    )


def _far(a: Colour, b: Colour) -> bool:
    return float(np.abs(np.asarray(a) - np.asarray(b)).sum()) > 0.75


def _differs_visibly(part: str, a: Clothes, b: Clothes) -> bool:
    """Whether the change of a part can be seen from every side."""
    if part == "bag":
        if "none" in (a.bag, b.bag):
            return a.bag != b.bag
        return _far(a.bag_colour, b.bag_colour)
    if part == "head":
        if "none" in (a.hat, b.hat):
            return a.hat != b.hat or _far(a.hair, b.hair)
        return _far(a.hat_colour, b.hat_colour)
    if part == "arms":
        return _far(a.sleeve_left, b.sleeve_left) and _far(a.sleeve_right, b.sleeve_right) and b.sleeve >= 0.3
    main = {"torso": "upper", "legs": "lower", "shoes": "shoes"}[part]
    return _far(getattr(a, main), getattr(b, main))


def lookalike(rng: np.random.Generator, decks: Decks, original: Clothes, part: str) -> Clothes:
    """The same clothes with one part replaced by a visibly different one.

    Sleeves belong to the arms: where a new torso comes, they keep their colour.
    """
    while True:
        other = draw_clothes(rng, decks)
        changes = {name: getattr(other, name) for name in PARTS[part]}
        if part == "legs" and "dress" in (original.lower_kind, other.lower_kind):
            changes["lower_kind"] = "skirt"
        candidate = replace(original, **changes)
        if _differs_visibly(part, original, candidate):
            return candidate


def changed_parts(a: Clothes, b: Clothes) -> list[str]:
    """The parts in which two persons' clothes differ."""
    different = {f.name for f in fields(Clothes) if getattr(a, f.name) != getattr(b, f.name)}
    return [part for part, names in PARTS.items() if different & set(names)]


def draw_group(
    rng: np.random.Generator, count: int, share: float
) -> tuple[list[Identity], list[tuple[int, int, str]]]:
    """`count` persons, and the pairs (index, index, part) who share all clothes but that part.

    share: fraction of the persons who belong to a pair; rounded up to whole pairs.
    """
    decks = Decks(rng)
    pairs = min(count // 2, int(np.ceil(count * share / 2)))
    clothes = [draw_clothes(rng, decks) for _ in range(count - pairs)]
    parts = [list(PARTS)[i % len(PARTS)] for i in range(pairs)]
    twins = []
    for index, part in enumerate(parts):
        twins.append((index, len(clothes), part))
        clothes.append(lookalike(rng, decks, clothes[index], part))
    identities = [Identity(c, draw_build(rng)) for c in clothes]
    order = rng.permutation(count)  # so that pairs do not stand side by side
    place = {int(old): new for new, old in enumerate(order)}
    return [identities[i] for i in order], [(place[a], place[b], part) for a, b, part in twins]
