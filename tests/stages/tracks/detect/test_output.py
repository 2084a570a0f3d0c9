"""Each kind of network output, written by hand, gives the boxes that it stands for."""

import numpy as np

from stages.tracks.detect.output import READ, drop_overlapping

SIZE = (64, 32)  # width, height of the input


def read(kind, output, person=0, lowest=0.3):
    boxes, scores = READ[kind](output, person, lowest, SIZE)
    return boxes.tolist(), np.round(scores.astype(float), 3).tolist()


def test_centernet_has_a_person_at_each_local_maximum():
    heat = np.zeros((1, 1, 8, 16), np.float32)
    heat[0, 0, 3, 5], heat[0, 0, 3, 6], heat[0, 0, 6, 12], heat[0, 0, 1, 1] = 0.9, 0.8, 0.5, 0.2
    sides = np.broadcast_to(np.float32([1, 2, 3, 4]).reshape(1, 4, 1, 1), (1, 4, 8, 16))
    boxes, scores = read("centernet", {"heat": heat, "sides": sides})
    assert boxes == [[19, 10, 23, 16], [47, 22, 51, 28]] and scores == [0.9, 0.5]


def test_yolox_boxes_are_offsets_and_log_sizes_in_cells():
    count = (8 * 4) + (4 * 2) + (2 * 1)
    values = np.zeros((1, count, 7), np.float32)
    values[0, 32 + 5, :] = (
        0.5,
        0.25,
        np.log(2),
        0,
        0.8,
        0.1,
        0.9,
    )  # second row, second column of 16 px cells
    values[0, 0, :] = (0, 0, 0, 0, 1, 0.9, 0.2)  # another class
    boxes, scores = read("yolox", {"output": values}, person=1)
    assert np.allclose(boxes, [[8, 12, 40, 28]]) and scores == [0.72]


def test_boxes_with_labels_are_those_of_the_class():
    dets = np.float32([[[1, 2, 3, 4, 0.9], [5, 6, 7, 8, 0.8], [1, 1, 2, 2, 0.1]]])
    boxes, scores = read("boxes", {"dets": dets, "labels": np.array([[0, 1, 0]])})
    assert boxes == [[1, 2, 3, 4]] and scores == [0.9]


def test_dfine_boxes_are_in_pixels_of_the_image():
    output = {
        "labels": np.array([[0, 7]]),
        "boxes": np.float32([[[1, 2, 300, 400], [0, 0, 9, 9]]]),
        "scores": np.float32([[0.6, 0.9]]),
    }
    boxes, scores = read("dfine", output)
    assert boxes == [[1, 2, 300, 400]] and scores == [0.6]


def test_detr_boxes_are_shares_of_the_input_and_its_classes_logits():
    output = {
        "dets": np.float32([[[0.5, 0.5, 0.5, 1.0], [0.1, 0.1, 0.1, 0.1]]]),
        "labels": np.float32([[[-9, 2], [9, -9]]]),
    }
    boxes, scores = read("detr", output, person=1)
    assert boxes == [[16, 0, 48, 32]] and scores == [0.881]


def test_the_worse_of_two_boxes_on_one_person_is_dropped():
    boxes = np.float32([[0, 0, 10, 20], [1, 0, 11, 20], [30, 0, 40, 20]])
    assert sorted(drop_overlapping(boxes, np.float32([0.5, 0.9, 0.4]), 0.6).tolist()) == [1, 2]
