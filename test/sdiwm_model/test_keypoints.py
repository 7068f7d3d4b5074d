import torch

from sdiwm_model.keypoints import coordinates, pixels, spatial_softmax


def test_a_map_that_is_active_in_one_place_becomes_its_coordinates():
    maps = torch.full((1, 2, 9, 9), -1e3)
    maps[0, 0, 0, 8] = maps[0, 1, 4, 2] = 1e3
    assert spatial_softmax(maps, coordinates(9)).tolist() == [[1.0, -1.0, -0.5, 0.0]]


def test_pixels_fill_the_range_from_minus_one_to_one():
    image = torch.tensor([0, 255, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    assert pixels(image).flatten().tolist() == [-1.0, 1.0, 1.0]
