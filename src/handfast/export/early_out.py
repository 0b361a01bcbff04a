"""The decoder in a branch of its own, which is left out where no hand can be seen (paper, section 4)."""

from onnx import GraphProto, ModelProto, helper, parser

from handfast.export.c.network import needed_for

# A probability of 0.27. Even if both slots say so of one hand, it is there with 0.47: a tracker that asks for
# 0.5 finds the same hands with the early-out as without.
EARLY_OUT_LOGIT = -1.0


def add_early_out(model: ModelProto, early_out_logit: float) -> None:
    """Have a net, in place, decode its key-points only where a hand may be.

    What ``heatmaps`` (b, 2, K, h, w) is computed from, and ``visibility`` (b, 2, 1 + K) is not, becomes the
    then-branch of an ``If``. It runs when ``visibility[:, :, 0]`` is above ``early_out_logit`` for any hand
    of the batch; otherwise all maps are zeros: a key-point may be in any cell.
    """
    graph = model.graph
    heatmaps, visibility = graph.output
    decoder = _take(graph, needed_for(graph, [heatmaps.name]) - needed_for(graph, [visibility.name]))
    decoder.node[-1].output[0] = "decoded"  # a graph and its branches use a name once
    sizes = [dimension.dim_value for dimension in heatmaps.type.tensor_type.shape.dim[1:]]
    no_hand = parser.parse_graph(f"""
        no_hand () => ()
        <int64[{len(sizes)}] sizes = {{{", ".join(map(str, sizes))}}}>
        {{
            batch = Shape <end = 1> ({visibility.name})
            shape = Concat <axis = 0> (batch, sizes)
            nothing = ConstantOfShape (shape)
        }}""")
    for branch in (decoder, no_hand):
        branch.output.add().CopyFrom(heatmaps)
        branch.output[0].name = branch.node[-1].output[0]
    question = parser.parse_graph(f"""
        question () => ()
        <int64 hand = {{0}}, float early_out_logit = {{{early_out_logit}}}>
        {{
            presence = Gather <axis = 2> ({visibility.name}, hand)
            likeliest = ReduceMax <keepdims = 0> (presence)
            may_be_there = Greater (likeliest, early_out_logit)
        }}""")
    graph.initializer.extend(question.initializer)
    graph.node.extend(question.node)
    graph.node.append(
        helper.make_node(
            "If", ["may_be_there"], [heatmaps.name], "early_out", then_branch=decoder, else_branch=no_hand
        )
    )


def _take(graph: GraphProto, names: set[str]) -> GraphProto:
    """A graph of the nodes and weights that make ``names``; they leave the graph they are in.

    The weights move along: ONNX Runtime optimises a branch better if it owns them.
    """
    taken = GraphProto(name="decoder")
    taken.node.extend(node for node in graph.node if not names.isdisjoint(node.output))
    taken.initializer.extend(tensor for tensor in graph.initializer if tensor.name in names)
    for node in taken.node:
        graph.node.remove(node)
    for tensor in taken.initializer:
        graph.initializer.remove(tensor)
    return taken
