"""Costs of nets that are not exported yet."""

from torch import nn

from handfast.models.cost import network_cost


def test_parameters_and_products_by_hand():
    def build():
        convolution = nn.Conv2d(2, 3, 3, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 20, 7))

    assert network_cost(build, 1, 2, 4, 5) == (54 + 6 + 427, 54 * 20 + 420)
