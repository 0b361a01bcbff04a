"""Networks with random weights that say something, as checkpoints and as they are exported."""

import pytest


@pytest.fixture(scope="session")
def dense_checkpoint(tmp_path_factory):
    """A function from the name of a net of dense regression to the checkpoint of one that says something."""
    import torch

    from handfast.models import MODELS
    from handfast.training.checkpoint import save_checkpoint
    from handfast.training.dense_regression import DenseRecipe
    from handfast.training.loop import model_card

    folder = tmp_path_factory.mktemp("dense")

    def dense_checkpoint(name):
        path = folder / f"{name}.safetensors"
        if not path.exists():
            torch.manual_seed(0)
            net = MODELS[name]()
            with torch.no_grad():
                for parameter in net.parameters():
                    if parameter.ndim == 4:  # at its own small weights it is all but silent
                        torch.nn.init.kaiming_normal_(parameter)
                    else:
                        parameter += 0.01 * torch.randn_like(parameter)
                depth = torch.rand(4, 1, 128, 128) * 1.5 - 0.5
                depth[..., :40, :] = -1
                net.branches(depth)  # leaves its statistics
            metrics = {f"crops_error_mm_l{level}": 10.0 * level for level in net.levels}
            recipe = DenseRecipe(model=name, skeleton="hand21" if net.joints == 21 else "nyu14", steps=1)
            save_checkpoint(path, net, model_card(recipe, "noise", 0, metrics))
        return path

    return dense_checkpoint


@pytest.fixture(scope="session")
def dense_onnx(dense_checkpoint, tmp_path_factory):
    """The smallest of these nets as an .onnx file, not to be changed."""
    from handfast.export.onnx import export_onnx
    from handfast.training.checkpoint import load_checkpoint

    path = tmp_path_factory.mktemp("dense_onnx") / "net.onnx"
    export_onnx(*load_checkpoint(dense_checkpoint("dense-lean-l3")), path)
    return path


@pytest.fixture(scope="session")
def dirnet_checkpoint(tmp_path_factory):
    """The checkpoint of a DIR-Net of three loops, for crops of 64 px, that tells them and its loops apart."""
    import torch

    from handfast.models import MODELS
    from handfast.training.checkpoint import save_checkpoint
    from handfast.training.dirnet import DIRNetRecipe
    from handfast.training.loop import model_card

    torch.manual_seed(0)
    net = MODELS["dirnet"]()
    torch.nn.init.normal_(net.pose_predictor.parameters_of_hand.weight, std=0.1)
    for head in (net.uncertainty.second, net.gate[-1]):
        torch.nn.init.normal_(head.weight, std=1.5)
    with torch.no_grad():
        for _ in range(4):  # leaves its statistics
            coarse = torch.rand(4, 3, 6, 6)
            net(torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bilinear"))
    card = model_card(DIRNetRecipe(model="dirnet", skeleton="hand21", epochs=1, loops=3), "noise", 0, {})
    path = tmp_path_factory.mktemp("dirnet") / "net.safetensors"
    save_checkpoint(path, net, card | {"input": {"image": "colour crop", "height": 64, "width": 64}})
    return path


@pytest.fixture(scope="session")
def dirnet_folder(dirnet_checkpoint, tmp_path_factory):
    """The same as ``handfast export`` writes it, not to be changed."""
    from handfast.export.dirnet import export_dirnet
    from handfast.training.checkpoint import load_checkpoint

    folder = tmp_path_factory.mktemp("dirnet_onnx") / "net"
    export_dirnet(*load_checkpoint(dirnet_checkpoint), folder)
    return folder


@pytest.fixture(scope="session")
def ace_checkpoint(tmp_path_factory):
    """The checkpoint of an ACE for crops of 128 px; its validation saw the fine encoder run for a quarter of
    the frames."""
    from handfast.data.colour_batches import ColourMix
    from handfast.data.colour_clips import ClipMix
    from handfast.models import MODELS
    from handfast.training.ace import AceRecipe
    from handfast.training.checkpoint import save_checkpoint
    from handfast.training.loop import model_card

    mix = ClipMix(ColourMix(input_px=128))
    recipe = AceRecipe(model="ace-hourglass-half", skeleton="hand21", epochs=1, data=mix)
    path = tmp_path_factory.mktemp("ace") / "net.safetensors"
    save_checkpoint(
        path, MODELS["ace-hourglass-half"](), model_card(recipe, "noise", 0, {"clips_p_fine": 0.25})
    )
    return path
