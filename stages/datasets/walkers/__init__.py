"""Walkers: a data set of animated pedestrians that the program makes itself, in MARS layout.

`config` what can be chosen · `wardrobe` who wears what · `plan` who is filmed where · `body` skeleton
and gait · `camera` view and colour · `figure`, `paints` a skeleton dressed · `draw` the rasteriser ·
`backdrop`, `occluders` the place · `disturbances` what goes wrong in a tracklet · `actor`, `scene` who is
in the picture · `hidden` what a frame does not show · `film` one tracklet · `record` what is known about a
frame · `layout` MARS files · `sheet` the contact sheet · `make` the stage.
"""
