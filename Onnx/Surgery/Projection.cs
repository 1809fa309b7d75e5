namespace Microsoft.ML.Attention.Onnx.Surgery;

/// <summary>What an attention takes from its tokens as queries, keys or values: a matrix product with weights, or a part of one.</summary>
/// <param name="Value">The value in the graph: [B, N, Width], or [B * N, Width] where the tokens were flattened.</param>
/// <param name="Width">The number of channels of the value; a packed one has those of all its parts.</param>
/// <param name="Source">The value that the tokens are read from.</param>
/// <param name="Weights">The product, whose name and weights tell the module.</param>
internal sealed record Projection(string Value, int Width, string Source, Node Weights)
{
    /// <summary>Which part of a value that packs several, and how.</summary>
    public Packing Packing { get; init; } = Packing.None;

    /// <summary>The number of heads, where the graph tells it.</summary>
    public int? HeadCount { get; init; }

    /// <summary>What the projection is multiplied by on its way to the scores.</summary>
    public double Factor { get; init; } = 1;

    /// <summary>Whether the value has no axis for the batch of its own.</summary>
    public bool IsFlat { get; init; }

    /// <summary>What is added to the part, other than in the graph itself: a value and where the part's bias begins in it.</summary>
    public (string Value, int Offset)? Bias { get; init; }

    /// <summary>The number of channels of the part.</summary>
    public int Channels => Width / Packing.Count;
}

/// <summary>How several projections are packed into the channels of one.</summary>
/// <param name="Index">Which of them.</param>
/// <param name="Count">How many there are.</param>
/// <param name="IsPerHead">Whether the channels are (head, part, d), not (part, head, d).</param>
internal readonly record struct Packing(int Index, int Count, bool IsPerHead)
{
    /// <summary>The value is all there is.</summary>
    public static Packing None => new(0, 1, false);
}

/// <summary>Follows the input of an attention back to its projection.</summary>
internal sealed class ProjectionWalk(GraphIndex index)
{
    private double _factor = 1;
    private int? _headCount;
    private int? _headWidth;

    // Where a part was taken of a packed projection: the axis, as far as it was followed back, and which part.
    private (int Axis, int Index)? _part;
    private Packing _packing = Packing.None;

    /// <summary>The projection that a value comes from.</summary>
    /// <exception cref="MismatchException">
    /// The value does not come from a projection, or something stands between that is not understood.
    /// </exception>
    public static Projection Of(GraphIndex index, string value) => new ProjectionWalk(index).Follow(value);

    private Projection Follow(string value)
    {
        while (true)
        {
            var node = index.Producer(value) ?? throw new MismatchException(
                $"expected a projection by weights, found '{value}', an input of the graph");
            if (node.OpType == "Add" || IsWeighted(index, node))
                return Finish(value, node);
            switch (node.OpType)
            {
                case "Transpose":
                    if (_part is { } moved && node.Attributes.Ints("perm") is { } permutation)
                        _part = (checked((int)permutation[moved.Axis]), moved.Index);
                    break;
                case "Reshape":
                    ReadHeads(node);
                    break;
                case "Cast" or "Identity" or "Dropout" or "Squeeze" or "Unsqueeze":
                    break;
                case "Mul" or "Div":
                    value = Scaled(node);
                    continue;
                case "Gather" or "Split" or "Slice":
                    if (TakesChannels(node))
                        return FinishPart(value, node);
                    TakePart(node, value);
                    break;
                default:
                    throw new MismatchException($"expected a projection by weights, found '{node.Name}' ({node.OpType}) before it");
            }
            value = node.Inputs[0];
        }
    }

    /// <summary>Whether a node is a product with a matrix of weights.</summary>
    public static bool IsWeighted(GraphIndex index, Node node) =>
        node is { OpType: "MatMul" or "Gemm", Domain: "" } or { OpType: "FusedMatMul" }
        && index.IsConstant(node.Inputs[1]) && index.ShapeOf(node.Inputs[1]) is { Rank: 2 } && !index.IsConstant(node.Inputs[0]);

    private string Scaled(Node node)
    {
        var factor = node.OpType == "Mul" && index.Number(node.Inputs[0]) is { } first ? first : index.Number(node.Inputs[1]);
        if (factor is null)
        {
            throw new MismatchException(
                $"expected a known scale, found '{node.Name}' ({node.OpType}), which multiplies by '{node.Inputs[1]}'");
        }
        _factor *= node.OpType == "Mul" ? factor.Value : 1 / factor.Value;
        return node.OpType == "Mul" && index.Number(node.Inputs[0]) is not null ? node.Inputs[1] : node.Inputs[0];
    }

    // [B, N, heads, d], or, before a part is taken, [B, N, parts, heads, d] or [B, N, heads, parts, d].
    private void ReadHeads(Node node)
    {
        if (index.SizesIn(node.Inputs[1]) is not { } sizes)
            return;
        if (_part is { } part)
        {
            if (sizes.Rank != 5 || part.Axis is not (2 or 3) || !sizes[part.Axis].IsKnown)
            {
                throw new MismatchException(
                    "expected packed projections in a shape [B, N, parts, heads, d] or [B, N, heads, parts, d], found "
                    + $"'{node.Name}' to {sizes}");
            }
            _packing = new(part.Index, (int)sizes[part.Axis].Value, IsPerHead: part.Axis == 3);
            _part = null;
            SetHeads(sizes[part.Axis == 3 ? 2 : 3], sizes[4]);
        }
        else if (sizes.Rank == 4)
        {
            SetHeads(sizes[2], sizes[3]);
        }
    }

    private void SetHeads(Dim heads, Dim width)
    {
        _headCount = heads is { IsKnown: true, Value: > 0 } ? (int)heads.Value : null;
        _headWidth = width is { IsKnown: true, Value: > 0 } ? (int)width.Value : null;
    }

    // Whether a node cuts [B, N, channels] along the channels.
    private bool TakesChannels(Node node)
    {
        if (node.OpType == "Gather" || index.ShapeOf(node.Inputs[0]) is not { } shape)
            return false;
        long[] axes = node.OpType == "Split" ? [node.Attributes.Int("axis", 0)]
            : index.SizesIn(Input(node, 3)) is { IsStatic: true } axis ? axis.ToArray()
            : [];
        return shape.Rank <= 3 && axes is [var only] && (only == -1 || only == shape.Rank - 1);
    }

    private void TakePart(Node node, string value)
    {
        int? part = node.OpType switch
        {
            "Split" => node.Outputs.IndexOf(value),
            "Gather" => (int?)index.Number(node.Inputs[1]),
            _ => index.SizesIn(Input(node, 1)) is { IsStatic: true, Rank: 1 } start ? (int)start[0].Value : null,
        };
        var axis = node.OpType == "Slice"
            ? index.SizesIn(Input(node, 3)) is { IsStatic: true, Rank: 1 } axes ? axes[0].Value : null
            : (long?)node.Attributes.Int("axis", 0);
        var rank = index.ShapeOf(node.Inputs[0])?.Rank ?? 5;
        if (part is null || axis is null || _part is not null)
        {
            throw new MismatchException(
                $"expected one part of packed projections, found '{node.Name}' ({node.OpType}), which takes another");
        }
        _part = ((int)(axis < 0 ? axis + rank : axis).Value, part.Value);
    }

    private Projection Finish(string value, Node node)
    {
        if (_part is not null)
            throw new MismatchException($"expected a Reshape of packed projections, found '{node.Name}' ({node.OpType}) before one");
        var (width, source, product) = Root(value);
        return Result(value, width, source, product);
    }

    // [B, N, channels] cut along the channels: the part is a value of its own.
    private Projection FinishPart(string value, Node cut)
    {
        var (_, source, product) = Root(cut.Inputs[0]);
        if (index.ShapeOf(value) is not { } shape || !shape[-1].IsKnown)
        {
            throw new MismatchException(
                $"expected parts of known size, found '{cut.Name}' ({cut.OpType}), whose result is {index.ShapeOf(value)}");
        }
        return Result(value, (int)shape[-1].Value, source, product);
    }

    private Projection Result(string value, int width, string source, Node product)
    {
        var channels = width / _packing.Count;
        return new(value, width, source, product)
        {
            Packing = _packing,
            HeadCount = _headCount ?? channels / _headWidth,
            Factor = _factor,
            IsFlat = index.ShapeOf(value) is { } shape ? shape.Rank == 2 : product.OpType == "Gemm",
        };
    }

    // The product under a value, below biases and the sum with an adapter of low rank, and the value that it reads.
    private (int Width, string Source, Node Product) Root(string value)
    {
        var node = index.Producer(value);
        switch (node)
        {
            case { OpType: "Add" }:
                var inputs = node.Inputs.FindAll(input => !index.IsConstant(input));
                var roots = inputs.ConvertAll(Root);
                if (inputs.Count < node.Inputs.Count)
                    RequireBias(node, roots[0].Width);
                if (roots.Count == 2 && roots[0].Source != roots[1].Source)
                {
                    throw new MismatchException(
                        $"expected a projection of one value, found '{node.Name}' (Add) of '{roots[0].Source}' and '{roots[1].Source}'");
                }
                return roots[0];
            case { OpType: "Cast" or "Identity" or "Dropout" }:
                return Root(node.Inputs[0]);
            case { OpType: "Mul" or "Div" } when node.Inputs.Exists(input => index.Number(input) is not null):
                return Root(node.Inputs.Find(input => index.Number(input) is null)!);
            case not null when IsWeighted(index, node):
                var width = index.ShapeOf(node.Inputs[1])![node.Attributes.Int("transB", 0) == 0 ? 1 : 0];
                return ((int)width.Value, SourceOf(node), node);
            default:
                throw new MismatchException(node is null
                    ? $"expected a projection by weights, found '{value}', an input of the graph"
                    : $"expected a projection by weights, found '{node.Name}' ({node.OpType})");
        }
    }

    // A bias after the heads are cut would be of another shape.
    private void RequireBias(Node add, int width)
    {
        var bias = index.ShapeOf(add.Inputs.Find(index.IsConstant)!);
        if (bias is not null && (bias.Rank == 0 || bias[-1] != width))
            throw new MismatchException($"expected a bias of {width} channels, found '{add.Name}' (Add) of {bias}");
    }

    // Flattening and conversions before the product make no other source; nor does the first factor of an adapter.
    private string SourceOf(Node product)
    {
        var value = product.Inputs[0];
        while (index.Producer(value) is { } node && (node.OpType is "Cast" or "Identity" or "Dropout" || IsWeighted(index, node)
            || (node.OpType == "Reshape" && index.ShapeOf(value) is null or { Rank: 2 })))
        {
            value = node.Inputs[0];
        }
        return value;
    }

    private static string Input(Node node, int position) => position < node.Inputs.Count ? node.Inputs[position] : "";
}

/// <summary>Something in a graph is other than an attention of a UNet is; says what was expected.</summary>
internal sealed class MismatchException(string message) : Exception(message);
