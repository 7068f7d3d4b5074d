from dataclasses import replace

import torch

from sdiwm_model.sizes import find_size
from sdiwm_model.vision_transformer import VisionTransformer, position_code

SIZE = replace(find_size("miniature_teacher"), cameras=2)


def test_there_is_a_token_for_every_patch_of_every_camera():
    image = torch.zeros(3, 64, 64, 6, dtype=torch.uint8)
    assert VisionTransformer(SIZE).tokens(image).shape == (3, 2, 16, 32)


def test_no_two_places_have_the_same_code():
    code = position_code(14, 32)
    assert code.shape == (196, 32)
    distance = torch.cdist(code, code) + 9 * torch.eye(196)
    assert distance.min() > 0.1


def test_where_a_thing_is_stands_out_in_the_features_from_the_start():
    torch.manual_seed(0)
    encoder = VisionTransformer(replace(SIZE, cameras=1))
    image = torch.zeros(16, 64, 64, 3, dtype=torch.uint8)
    for place, picture in enumerate(image):
        row, column = 16 * (place // 4), 16 * (place % 4)
        picture[row : row + 16, column : column + 16] = 255
    assert encoder(image).std(dim=0).mean() > 0.03
