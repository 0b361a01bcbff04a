"""python -m handfast.training --recipe recipes/tofnet_hand21.toml --data DIR --run DIR"""

import argparse
import sys
from pathlib import Path

from handfast.data.batches import open_batches
from handfast.errors import HandfastError
from handfast.training.loop import train
from handfast.training.recipe import load_recipe


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m handfast.training", description="Train a net from a recipe."
    )
    parser.add_argument("--recipe", type=Path, required=True, help="TOML file, see recipes/")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder made by `handfast synth bench-tof`",
    )
    parser.add_argument(
        "--photos", type=Path, help="folder of labelled photos to mix in: images/, labels.jsonl"
    )
    parser.add_argument(
        "--run", type=Path, required=True, help="folder of the run; one with a state is continued"
    )
    parser.add_argument("--devices", type=int, default=1, help="processes to share each step, one a device")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe)
    data = open_batches(arguments.data, recipe.seed, arguments.photos)
    metrics = train(recipe, data, arguments.run, devices=arguments.devices)
    print(" ".join(f"{name}={value:.4g}" for name, value in metrics.items()))


if __name__ == "__main__":
    try:
        main()
    except HandfastError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
