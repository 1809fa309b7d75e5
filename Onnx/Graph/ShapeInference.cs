using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>
/// Infers the types and shapes of values, and the content of small integer tensors that stand for sizes, axes and indices.
/// One rule an operator; where a rule is missing or an input is unknown, so is the output.
/// </summary>
internal static class ShapeInference
{
    private const int LargestContent = 1024;

    private delegate void Rule(NodeInference node);

    private static readonly Dictionary<string, Rule> Rules = CreateRules();

    /// <summary>Infers all values of a graph from its inputs and initialisers.</summary>
    public static void Infer(Graph graph, IReadOnlyList<Function>? functions = null)
    {
        foreach (var (name, tensor) in graph.Initializers)
            graph.Values[name] = new(tensor.Type, tensor.Shape, ContentOf(tensor));
        foreach (var node in graph.Nodes)
            Infer(graph, node, functions ?? []);
    }

    /// <summary>Infers the outputs of one node.</summary>
    public static void Infer(Graph graph, Node node, IReadOnlyList<Function> functions)
    {
        if (AttentionOps.Find(node) is { } op)
        {
            // In the body of a function what an attribute refers to is open, and so is what follows from it.
            if (node.Attributes.Any(attribute => attribute.Value is AttributeReference))
                return;
            var infos = op.InferOutputs(node, [.. node.Inputs.Select(graph.Info)]);
            for (var i = 0; i < node.Outputs.Count; i++)
            {
                if (node.Outputs[i].Length > 0)
                    graph.Values[node.Outputs[i]] = infos[i];
            }
        }
        else if (node.Domain.Length == 0 && Rules.TryGetValue(node.OpType, out var rule))
        {
            rule(new(graph, node));
        }
        else if (functions.FirstOrDefault(function => function.Domain == node.Domain && function.Name == node.OpType) is { } function)
        {
            var body = Inliner.Expand(graph, node, function);
            Infer(body, functions);
            for (var i = 0; i < node.Outputs.Count; i++)
            {
                if (node.Outputs[i].Length > 0)
                    graph.Values[node.Outputs[i]] = body.Info(body.Outputs[i]);
            }
        }
    }

    /// <summary>The content of an integer scalar or vector of modest size.</summary>
    public static Shape? ContentOf(Tensor tensor) =>
        tensor.Dims.Count <= 1 && tensor.ElementCount <= LargestContent && IsInteger(tensor.Type) ? Shape.Of(tensor.ToInt64()) : null;

    private static bool IsInteger(TensorElementType? type) => type is TensorElementType.Int64 or TensorElementType.Int32;

    private static Dictionary<string, Rule> CreateRules()
    {
        var rules = new Dictionary<string, Rule>(StringComparer.Ordinal);
        void Add(Rule rule, params string[] operators)
        {
            foreach (var name in operators)
                rules.Add(name, rule);
        }

        Add(node => node.Set(0, node.Type(0), node.Shape(0), node.Content(0)), "Identity");
        Add(node => node.Set(0, node.Type(0), node.Shape(0)),
            "Abs", "Acos", "Asin", "Atan", "BatchNormalization", "Ceil", "Celu", "Clip", "Cos", "CumSum", "Elu", "Erf", "Exp", "Floor",
            "Gelu", "GroupNormalization", "HardSigmoid", "HardSwish", "Hardmax", "InstanceNormalization", "LeakyRelu", "Log", "LogSoftmax",
            "LpNormalization", "LRN", "Mish", "Not", "PRelu", "Reciprocal", "Relu", "Round", "ScatterElements", "ScatterND", "Selu",
            "Sigmoid", "Sign", "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh", "ThresholdedRelu", "Trilu");
        Add(node => node.Set(0, node.Type(0), node.Shape(0), Map(node.Content(0), x => x.IsKnown ? -x.Value : Dim.Unknown)), "Neg");
        Add(node => node.Set(0, TensorElementType.Bool, node.Shape(0)), "IsNaN", "IsInf");
        Add(node => node.Broadcast(node.Type(0), (x, y) => x == 0 ? y : y == 0 ? x : Both(x, y, (a, b) => a + b)), "Add");
        Add(node => node.Broadcast(node.Type(0), (x, y) => y == 0 ? x : Both(x, y, (a, b) => a - b)), "Sub");
        Add(node => node.Broadcast(node.Type(0), (x, y) => x == 1 ? y : y == 1 ? x : Both(x, y, (a, b) => a * b)), "Mul");
        Add(node => node.Broadcast(node.Type(0), (x, y) => y == 1 ? x : Both(x, y, (a, b) => b == 0 ? 0 : a / b)), "Div");
        Add(node => node.Broadcast(node.Type(0), (x, y) => Both(x, y, (a, b) => b == 0 ? 0 : ((a % b) + b) % b)), "Mod");
        Add(node => node.Broadcast(node.Type(0), (x, y) => Both(x, y, Math.Max)), "Max");
        Add(node => node.Broadcast(node.Type(0), (x, y) => Both(x, y, Math.Min)), "Min");
        Add(node => node.Broadcast(node.Type(0)), "Pow", "BitShift", "Mean", "Sum");
        Add(node => node.Broadcast(TensorElementType.Bool),
            "And", "Or", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual");
        Add(node => node.Set(0, node.Type(1), BroadcastShapes(BroadcastShapes(node.Shape(0), node.Shape(1)), node.Shape(2))), "Where");
        Add(node => node.Set(0, (TensorElementType)node.Attributes.Int("to"), node.Shape(0), node.Content(0)), "Cast");
        Add(node => node.Set(0, node.Type(1), node.Shape(0), node.Content(0)), "CastLike");
        Add(MatMul, "MatMul");
        Add(Gemm, "Gemm");
        Add(Einsum, "Einsum");
        Add(Convolution, "Conv");
        Add(TransposedConvolution, "ConvTranspose");
        Add(Pool, "MaxPool", "AveragePool", "LpPool");
        Add(node => node.Set(0, node.Type(0), Map(node.Shape(0), (dim, axis) => axis < 2 ? dim : 1)), "GlobalAveragePool", "GlobalMaxPool");
        Add(LayerNormalization, "LayerNormalization");
        Add(node => { node.Set(0, node.Type(0), node.Shape(0)); node.Set(1, TensorElementType.Bool, node.Shape(0)); }, "Dropout");
        Add(Transpose, "Transpose");
        Add(Reshape, "Reshape");
        Add(Flatten, "Flatten");
        Add(Squeeze, "Squeeze");
        Add(Unsqueeze, "Unsqueeze");
        Add(Slice, "Slice");
        Add(Concat, "Concat");
        Add(Split, "Split");
        Add(Pad, "Pad");
        Add(Gather, "Gather");
        Add(node => node.Set(0, node.Type(0), node.Shape(1)), "GatherElements");
        Add(GatherND, "GatherND");
        Add(node => node.Set(0, node.Type(0), BroadcastShapes(node.Shape(0), node.Content(1) ?? UnknownOf(node.Shape(1)))), "Expand");
        Add(Tile, "Tile");
        Add(Resize, "Resize", "Upsample");
        Add(Reduce, "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
            "ReduceLogSumExp", "ReduceSumSquare");
        Add(ArgReduce, "ArgMax", "ArgMin");
        Add(TopK, "TopK");
        Add(Range, "Range");
        Add(ShapeOf, "Shape");
        Add(SizeOf, "Size");
        Add(Constant, "Constant");
        Add(ConstantOfShape, "ConstantOfShape");
        Add(OneHot, "OneHot");
        Add(BlockToDepth, "SpaceToDepth");
        Add(DepthToBlock, "DepthToSpace");
        Add(EyeLike, "EyeLike");
        Add(node => node.Set(0, TensorElementType.Int64, node.Shape(0) is { } shape ? [shape.Rank, Dim.Unknown] : null), "NonZero");
        return rules;
    }

    private static void MatMul(NodeInference node)
    {
        if (node.Shape(0) is not { } left || node.Shape(1) is not { } right)
        {
            node.Set(0, node.Type(0), null);
            return;
        }
        Shape rows = left.Rank == 1 ? [] : [left[-2]];
        Shape columns = right.Rank == 1 ? [] : [right[-1]];
        if (left[-1].IsKnown && right[right.Rank == 1 ? 0 : -2] is { IsKnown: true } inner && left[-1] != inner)
            throw node.Error($"cannot multiply {left} by {right}: {left[-1]} columns against {inner} rows");
        var batch = BroadcastShapes(First(left, left.Rank - 2), First(right, right.Rank - 2))!;
        node.Set(0, node.Type(0), [.. batch, .. rows, .. columns]);
    }

    private static void Gemm(NodeInference node)
    {
        if (node.Shape(0) is { Rank: 2 } left && node.Shape(1) is { Rank: 2 } right)
            node.Set(0, node.Type(0), [left[(int)node.Attributes.Int("transA", 0)], right[1 - (int)node.Attributes.Int("transB", 0)]]);
        else
            node.Set(0, node.Type(0), null);
    }

    private static void Einsum(NodeInference node)
    {
        var sides = node.Attributes.String("equation", "").Replace(" ", "").Split("->");
        var terms = sides[0].Split(',');
        var sizes = new Dictionary<char, Dim>();
        for (var i = 0; i < terms.Length; i++)
        {
            for (var axis = 0; axis < terms[i].Length; axis++)
                sizes[terms[i][axis]] = node.Shape(i)?[axis] ?? Dim.Unknown;
        }
        var isPlain = sides.Length == 2 && !sides[0].Contains('.');
        node.Set(0, node.Type(0), isPlain ? [.. sides[1].Select(label => sizes[label])] : null);
    }

    private static void Convolution(NodeInference node)
    {
        if (node.Shape(0) is not { } input || node.Shape(1) is not { } weight)
        {
            node.Set(0, node.Type(0), null);
            return;
        }
        var group = node.Attributes.Int("group", 1);
        if (input[1].IsKnown && weight[1].IsKnown && input[1].Value != weight[1].Value * group)
        {
            throw node.Error(
                $"input {input} has {input[1]} channels, but weights {weight} in {group} groups take {weight[1].Value * group}");
        }
        node.Set(0, node.Type(0), [input[0], weight[0], .. WindowSizes(node, input, SpatialSizes(node, weight))]);
    }

    private static void TransposedConvolution(NodeInference node)
    {
        if (node.Shape(0) is not { } input || node.Shape(1) is not { } weight)
        {
            node.Set(0, node.Type(0), null);
            return;
        }
        var kernel = SpatialSizes(node, weight);
        var spatial = kernel.Length;
        var strides = node.Attributes.Ints("strides") ?? Filled(spatial, 1);
        var dilations = node.Attributes.Ints("dilations") ?? Filled(spatial, 1);
        var pads = node.Attributes.Ints("pads") ?? new long[2 * spatial];
        var outputPadding = node.Attributes.Ints("output_padding") ?? new long[spatial];
        var sizes = node.Attributes.Ints("output_shape");
        var keepsSize = node.Attributes.String("auto_pad", "NOTSET") is "SAME_UPPER" or "SAME_LOWER";
        var dims = new Dim[spatial];
        for (var i = 0; i < spatial; i++)
        {
            var window = outputPadding[i] + ((kernel[i] - 1) * dilations[i]) + 1 - pads[i] - pads[i + spatial];
            dims[i] = sizes is not null ? sizes[i]
                : keepsSize && input[2 + i].IsKnown ? strides[i] * input[2 + i].Value
                : input[2 + i].IsKnown ? (strides[i] * (input[2 + i].Value - 1)) + window
                : Dim.Unknown;
        }
        var channels = weight[1].IsKnown ? weight[1].Value * node.Attributes.Int("group", 1) : Dim.Unknown;
        node.Set(0, node.Type(0), [input[0], channels, .. dims]);
    }

    private static void Pool(NodeInference node)
    {
        if (node.Shape(0) is not { } input || node.Attributes.Ints("kernel_shape") is not { } kernel)
        {
            node.Set(0, node.Type(0), null);
            return;
        }
        Shape shape = [input[0], input[1], .. WindowSizes(node, input, kernel)];
        node.Set(0, node.Type(0), shape);
        node.Set(1, TensorElementType.Int64, shape);
    }

    private static Dim[] WindowSizes(NodeInference node, Shape input, long[] kernel)
    {
        var spatial = kernel.Length;
        var strides = node.Attributes.Ints("strides") ?? Filled(spatial, 1);
        var dilations = node.Attributes.Ints("dilations") ?? Filled(spatial, 1);
        var pads = node.Attributes.Ints("pads") ?? new long[2 * spatial];
        var autoPad = node.Attributes.String("auto_pad", "NOTSET");
        var ceil = node.Attributes.Int("ceil_mode", 0) != 0;
        var dims = new Dim[spatial];
        for (var i = 0; i < spatial; i++)
        {
            var isSame = autoPad is "SAME_UPPER" or "SAME_LOWER";
            if (!input[2 + i].IsKnown)
            {
                // A window at each position: as many as there are.
                var padding = autoPad == "VALID" ? 0 : pads[i] + pads[i + spatial];
                if (strides[i] == 1 && (isSame || padding == (kernel[i] - 1) * dilations[i]))
                    dims[i] = input[2 + i];
                continue;
            }
            var size = input[2 + i].Value;
            if (isSame)
            {
                dims[i] = (size + strides[i] - 1) / strides[i];
                continue;
            }
            var padded = size + (autoPad == "VALID" ? 0 : pads[i] + pads[i + spatial]);
            var room = padded - ((kernel[i] - 1) * dilations[i]) - 1;
            if (room < 0)
                throw node.Error($"a kernel of {kernel[i]} does not fit into {padded} positions of input {input}");
            var windows = ceil ? ((room + strides[i] - 1) / strides[i]) + 1 : (room / strides[i]) + 1;
            // A window that would start in the padding behind the input is dropped.
            if (ceil && (windows - 1) * strides[i] >= size + pads[i])
                windows--;
            dims[i] = windows;
        }
        return dims;
    }

    private static long[] SpatialSizes(NodeInference node, Shape weight) =>
        node.Attributes.Ints("kernel_shape") ?? [.. weight.Skip(2).Select(dim => dim.Value)];

    private static void LayerNormalization(NodeInference node)
    {
        var shape = node.Shape(0);
        node.Set(0, node.Type(0), shape);
        var first = shape is null ? 0 : Axis(node.Attributes.Int("axis", -1), shape.Rank);
        var statistics = Map(shape, (dim, axis) => axis < first ? dim : 1);
        node.Set(1, TensorElementType.Float, statistics);
        node.Set(2, TensorElementType.Float, statistics);
    }

    private static void Transpose(NodeInference node)
    {
        if (node.Shape(0) is not { } shape)
        {
            node.Set(0, node.Type(0), null);
            return;
        }
        var permutation = node.Attributes.Ints("perm") ?? [.. Enumerable.Range(0, shape.Rank).Reverse().Select(axis => (long)axis)];
        if (permutation.Length != shape.Rank)
            throw node.Error($"a permutation of {permutation.Length} axes does not fit {shape}");
        node.Set(0, node.Type(0), [.. permutation.Select(axis => shape[(int)axis])]);
    }

    private static void Reshape(NodeInference node)
    {
        var input = node.Shape(0);
        if (node.Content(1) is not { } target)
        {
            node.Set(0, node.Type(0), UnknownOf(node.Shape(1)));
            return;
        }
        var keepZero = node.Attributes.Int("allowzero", 0) != 0;
        var dims = target.ToArrayOfDims();
        bool Fits() => !Array.TrueForAll(dims, dim => dim.IsKnown) || Shape.Create(dims).ElementCount == input.ElementCount;
        for (var i = 0; i < dims.Length; i++)
        {
            if (!keepZero && dims[i] == 0)
                dims[i] = input is not null && i < input.Rank ? input[i] : Dim.Unknown;
        }
        var open = Array.FindIndex(dims, dim => dim == -1);
        if (open >= 0)
            dims[open] = input is null ? Dim.Unknown : Quotient(input, dims.Where((_, i) => i != open));
        if (input is { IsStatic: true } && !Fits())
            throw node.Error($"{input} cannot take the shape {target}");
        node.Set(0, node.Type(0), Shape.Create(dims), node.Content(0));
    }

    // The product of some dimensions divided by that of others, where symbols cancel.
    private static Dim Quotient(IEnumerable<Dim> dividend, IEnumerable<Dim> divisor)
    {
        var (product, symbols) = (1L, new List<string>());
        foreach (var dim in dividend)
        {
            if (dim.IsKnown)
                product *= dim.Value;
            else if (dim.Symbol is { } symbol)
                symbols.Add(symbol);
            else
                return Dim.Unknown;
        }
        foreach (var dim in divisor)
        {
            if (dim.IsKnown)
            {
                if (dim.Value == 0 || product % dim.Value != 0)
                    return Dim.Unknown;
                product /= dim.Value;
            }
            else if (dim.Symbol is null || !symbols.Remove(dim.Symbol))
            {
                return Dim.Unknown;
            }
        }
        return symbols.Count == 0 ? product : symbols.Count == 1 && product == 1 ? symbols[0] : Dim.Unknown;
    }

    private static void Flatten(NodeInference node)
    {
        if (node.Shape(0) is not { } shape)
        {
            node.Set(0, node.Type(0), null);
            return;
        }
        var axis = node.Attributes.Int("axis", 1);
        var split = axis == shape.Rank ? shape.Rank : Axis(axis, shape.Rank);
        node.Set(0, node.Type(0), [Quotient(shape.Take(split), []), Quotient(shape.Skip(split), [])]);
    }

    private static void Squeeze(NodeInference node)
    {
        var axes = node.Axes(1);
        if (node.Shape(0) is not { } shape || (axes is null && !shape.IsStatic))
        {
            node.Set(0, node.Type(0), null, node.Content(0));
            return;
        }
        var dropped = axes is null
            ? [.. Enumerable.Range(0, shape.Rank).Where(axis => shape[axis] == 1)]
            : axes.Select(axis => Axis(axis, shape.Rank)).ToHashSet();
        node.Set(0, node.Type(0), [.. shape.Where((_, axis) => !dropped.Contains(axis))], node.Content(0));
    }

    private static void Unsqueeze(NodeInference node)
    {
        if (node.Shape(0) is not { } shape || node.Axes(1) is not { } axes)
        {
            node.Set(0, node.Type(0), null);
            return;
        }
        var rank = shape.Rank + axes.Length;
        var added = axes.Select(axis => Axis(axis, rank)).ToHashSet();
        var rest = new Queue<Dim>(shape);
        node.Set(0, node.Type(0), [.. Enumerable.Range(0, rank).Select(axis => added.Contains(axis) ? 1 : rest.Dequeue())],
            rank == 1 ? node.Content(0) : null);
    }

    private static void Slice(NodeInference node)
    {
        var starts = node.Integers("starts", 1);
        var ends = node.Integers("ends", 2);
        if (node.Shape(0) is not { } shape || starts is null || ends is null)
        {
            var cut = node.Integers("axes", 3)?.Select(axis => Axis(axis, node.Shape(0)?.Rank ?? int.MaxValue)).ToHashSet();
            node.Set(0, node.Type(0), Map(node.Shape(0), (dim, axis) => cut is null || cut.Contains(axis) ? Dim.Unknown : dim));
            return;
        }
        var axes = node.Integers("axes", 3) ?? [.. Enumerable.Range(0, starts.Length).Select(axis => (long)axis)];
        var steps = node.Integers("steps", 4) ?? Filled(starts.Length, 1);
        var content = node.Content(0);
        for (var i = 0; i < axes.Length; i++)
        {
            var axis = Axis(axes[i], shape.Rank);
            if (!shape[axis].IsKnown)
            {
                var isWhole = starts[i] == 0 && ends[i] >= int.MaxValue && steps[i] == 1;
                shape = shape.With(axis, isWhole ? shape[axis] : Dim.Unknown);
                content = null;
                continue;
            }
            var positions = SlicePositions(shape[axis].Value, starts[i], ends[i], steps[i]);
            shape = shape.With(axis, positions.Count);
            content = content is { } known ? [.. positions.Select(position => known[(int)position])] : null;
        }
        node.Set(0, node.Type(0), shape, content);
    }

    /// <summary>The positions that ONNX's Slice takes from an axis of the given size.</summary>
    internal static SliceRange SlicePositions(long size, long start, long end, long step)
    {
        start = start < 0 ? start + size : start;
        end = end < 0 ? end + size : end;
        (start, end) = step > 0
            ? (Math.Clamp(start, 0, size), Math.Clamp(end, 0, size))
            : (Math.Clamp(start, 0, size - 1), Math.Clamp(end, -1, size - 1));
        var count = Math.Max(0, step > 0 ? (end - start + step - 1) / step : (start - end - step - 1) / -step);
        return new(start, step, count);
    }

    private static void Concat(NodeInference node)
    {
        var count = node.InputCount;
        var shapes = Enumerable.Range(0, count).Select(node.Shape).ToArray();
        var contents = Enumerable.Range(0, count).Select(node.Content).ToArray();
        Shape? content = Array.TrueForAll(contents, part => part is not null) ? [.. contents.SelectMany(part => part!)] : null;
        if (shapes.FirstOrDefault(shape => shape is not null) is not { } first)
        {
            node.Set(0, node.Type(0), null);
            return;
        }
        var axis = Axis(node.Attributes.Int("axis"), first.Rank);
        var dims = first.ToArrayOfDims();
        foreach (var shape in shapes)
        {
            for (var i = 0; i < dims.Length; i++)
            {
                if (i == axis || shape is null || !shape[i].IsKnown)
                    continue;
                if (dims[i].IsKnown && dims[i] != shape[i])
                    throw node.Error($"axis {i} of {shape} differs from that of {first}, though the values are joined along axis {axis}");
                dims[i] = shape[i];
            }
        }
        dims[axis] = Array.TrueForAll(shapes, shape => shape is not null && shape[axis].IsKnown)
            ? shapes.Sum(shape => shape![axis].Value)
            : count == 1 ? first[axis] : Dim.Unknown;
        node.Set(0, node.Type(0), Shape.Create(dims), content);
    }

    private static void Split(NodeInference node)
    {
        var count = node.OutputCount;
        if (node.Shape(0) is not { } shape)
        {
            for (var i = 0; i < count; i++)
                node.Set(i, node.Type(0), null);
            return;
        }
        var axis = Axis(node.Attributes.Int("axis", 0), shape.Rank);
        var sizes = node.Integers("split", 1);
        for (var i = 0; i < count; i++)
        {
            var part = shape[axis].IsKnown ? (shape[axis].Value + count - 1) / count : 0;
            var size = sizes is not null ? sizes[i] : shape[axis].IsKnown ? Math.Min(part, shape[axis].Value - (part * i)) : Dim.Unknown;
            node.Set(i, node.Type(0), shape.With(axis, size));
        }
    }

    private static void Pad(NodeInference node)
    {
        if (node.Shape(0) is not { } shape)
        {
            node.Set(0, node.Type(0), null);
            return;
        }
        var pads = node.Integers("pads", 1);
        var axes = node.Content(3) is { } listed
            ? [.. listed.ToArray().Select(axis => Axis(axis, shape.Rank))]
            : Enumerable.Range(0, shape.Rank).ToArray();
        var dims = shape.ToArrayOfDims();
        for (var i = 0; i < axes.Length; i++)
        {
            if (pads is null)
                dims[axes[i]] = Dim.Unknown;
            else if (pads[i] + pads[i + axes.Length] is var added && added != 0)
                dims[axes[i]] = dims[axes[i]].IsKnown ? dims[axes[i]].Value + added : Dim.Unknown;
        }
        node.Set(0, node.Type(0), Shape.Create(dims));
    }

    private static void Gather(NodeInference node)
    {
        if (node.Shape(0) is not { } shape || node.Shape(1) is not { } indices)
        {
            node.Set(0, node.Type(0), null);
            return;
        }
        var axis = Axis(node.Attributes.Int("axis", 0), shape.Rank);
        Shape? content = node.Content(0) is { } data && node.Content(1) is { IsStatic: true } picked
            ? [.. picked.ToArray().Select(index => data[(int)index])]
            : null;
        node.Set(0, node.Type(0), [.. shape.Take(axis), .. indices, .. shape.Skip(axis + 1)], content);
    }

    private static void GatherND(NodeInference node)
    {
        if (node.Shape(0) is not { } shape || node.Shape(1) is not { } indices || !indices[-1].IsKnown)
        {
            node.Set(0, node.Type(0), null);
            return;
        }
        var batch = (int)node.Attributes.Int("batch_dims", 0);
        node.Set(0, node.Type(0), [.. indices.Take(indices.Rank - 1), .. shape.Skip(batch + (int)indices[-1].Value)]);
    }

    private static void Tile(NodeInference node)
    {
        var repeats = node.Content(1);
        node.Set(0, node.Type(0), Map(node.Shape(0), (dim, axis) =>
            repeats is null ? Dim.Unknown : repeats[axis] == 1 ? dim : Both(dim, repeats[axis], (a, b) => a * b)));
    }

    private static void Resize(NodeInference node)
    {
        if (node.Shape(0) is not { } shape)
        {
            node.Set(0, node.Type(0), null);
            return;
        }
        if (node.Content(3) is { } sizes && sizes.Rank == shape.Rank)
        {
            node.Set(0, node.Type(0), sizes);
            return;
        }
        var scales = node.Floats(2) ?? node.Floats(1);
        node.Set(0, node.Type(0), Map(shape, (dim, axis) =>
            scales is null || scales.Length != shape.Rank ? Dim.Unknown
            : scales[axis] == 1 ? dim
            : dim.IsKnown ? (long)Math.Floor(dim.Value * scales[axis])
            : Dim.Unknown));
    }

    private static void Reduce(NodeInference node)
    {
        var axes = node.Axes(1);
        var keep = node.Attributes.Int("keepdims", 1) != 0;
        if (node.Shape(0) is not { } shape || (axes is null && node.HasInput(1)))
        {
            node.Set(0, node.Type(0), null);
            return;
        }
        Shape? content = node.Op == "ReduceProd" && node.Content(0) is { IsStatic: true } factors ? [factors.ElementCount] : null;
        if (axes is null or [] && node.Attributes.Int("noop_with_empty_axes", 0) != 0)
        {
            node.Set(0, node.Type(0), shape, node.Content(0));
            return;
        }
        if (axes is null or [])
            axes = [.. Enumerable.Range(0, shape.Rank).Select(axis => (long)axis)];
        node.Set(0, node.Type(0), Reduced(shape, axes, keep), content);
    }

    private static void ArgReduce(NodeInference node) => node.Set(0, TensorElementType.Int64,
        node.Shape(0) is { } shape ? Reduced(shape, [node.Attributes.Int("axis", 0)], node.Attributes.Int("keepdims", 1) != 0) : null);

    private static Shape Reduced(Shape shape, long[] axes, bool keep)
    {
        var reduced = axes.Select(axis => Axis(axis, shape.Rank)).ToHashSet();
        return keep
            ? Map(shape, (dim, axis) => reduced.Contains(axis) ? 1 : dim)!
            : [.. shape.Where((_, axis) => !reduced.Contains(axis))];
    }

    private static void TopK(NodeInference node)
    {
        var k = node.Content(1) is { } content ? content[0] : node.Attributes.Contains("k") ? node.Attributes.Int("k") : Dim.Unknown;
        var shape = node.Shape(0) is { } input ? input.With(Axis(node.Attributes.Int("axis", -1), input.Rank), k) : null;
        node.Set(0, node.Type(0), shape);
        node.Set(1, TensorElementType.Int64, shape);
    }

    private static void Range(NodeInference node)
    {
        if (node.Content(0) is { IsStatic: true } start && node.Content(1) is { } limit && node.Content(2) is { IsStatic: true } delta)
        {
            if (limit.IsStatic)
            {
                var (from, to, step) = (start[0].Value, limit[0].Value, delta[0].Value);
                var count = Math.Max(0, (to - from + step - Math.Sign(step)) / step);
                node.Set(0, node.Type(0), [count],
                    count <= LargestContent ? [.. new SliceRange(from, step, count).Select(position => new Dim(position))] : null);
                return;
            }
            if (start[0] == 0 && delta[0] == 1)
            {
                node.Set(0, node.Type(0), [limit[0]]);
                return;
            }
        }
        node.Set(0, node.Type(0), [Dim.Unknown]);
    }

    private static void ShapeOf(NodeInference node)
    {
        if (node.Shape(0) is not { } shape)
        {
            node.Set(0, TensorElementType.Int64, [Dim.Unknown]);
            return;
        }
        var positions = SlicePositions(shape.Rank, node.Attributes.Int("start", 0), node.Attributes.Int("end", shape.Rank), 1);
        Shape content = [.. positions.Select(position => shape[(int)position])];
        node.Set(0, TensorElementType.Int64, [content.Rank], content);
    }

    private static void SizeOf(NodeInference node) =>
        node.Set(0, TensorElementType.Int64, [], node.Shape(0) is { IsStatic: true } shape ? [shape.ElementCount] : null);

    private static void EyeLike(NodeInference node)
    {
        var type = node.Attributes.Contains("dtype") ? (TensorElementType)node.Attributes.Int("dtype") : node.Type(0);
        node.Set(0, type, node.Shape(0));
    }

    private static void Constant(NodeInference node)
    {
        foreach (var (name, value) in node.Attributes)
        {
            switch (name, value)
            {
                case ("value", Tensor tensor): node.Set(0, tensor.Type, tensor.Shape, ContentOf(tensor)); break;
                case ("value_int", long number): node.Set(0, TensorElementType.Int64, [], [number]); break;
                case ("value_ints", long[] numbers): node.Set(0, TensorElementType.Int64, [numbers.Length], Shape.Of(numbers)); break;
                case ("value_float", float): node.Set(0, TensorElementType.Float, []); break;
                case ("value_floats", float[] numbers): node.Set(0, TensorElementType.Float, [numbers.Length]); break;
                case ("value_int", AttributeReference): node.Set(0, TensorElementType.Int64, []); break;
                case ("value_ints", AttributeReference): node.Set(0, TensorElementType.Int64, [Dim.Unknown]); break;
                case ("value_float", AttributeReference): node.Set(0, TensorElementType.Float, []); break;
                case ("value_floats", AttributeReference): node.Set(0, TensorElementType.Float, [Dim.Unknown]); break;
            }
        }
    }

    private static void ConstantOfShape(NodeInference node)
    {
        var fill = node.Attributes.Contains("value") ? (Tensor)node.Attributes["value"] : Tensor.Scalar(0f);
        var shape = node.Content(0) ?? UnknownOf(node.Shape(0));
        Shape? content = IsInteger(fill.Type) && shape is { IsStatic: true, Rank: 1 } && shape[0].Value <= LargestContent
            ? Shape.Of(Filled((int)shape[0].Value, fill.ToInt64()[0]))
            : null;
        node.Set(0, fill.Type, shape, content);
    }

    private static void OneHot(NodeInference node)
    {
        if (node.Shape(0) is not { } shape)
        {
            node.Set(0, node.Type(2), null);
            return;
        }
        var dims = shape.ToList();
        dims.Insert(Axis(node.Attributes.Int("axis", -1), shape.Rank + 1), node.Content(1) is { } depth ? depth[0] : Dim.Unknown);
        node.Set(0, node.Type(2), [.. dims]);
    }

    private static void BlockToDepth(NodeInference node)
    {
        var block = node.Attributes.Int("blocksize");
        node.Set(0, node.Type(0), Map(node.Shape(0), (dim, axis) =>
            axis == 0 ? dim : !dim.IsKnown ? Dim.Unknown : axis == 1 ? dim.Value * block * block : dim.Value / block));
    }

    private static void DepthToBlock(NodeInference node)
    {
        var block = node.Attributes.Int("blocksize");
        node.Set(0, node.Type(0), Map(node.Shape(0), (dim, axis) =>
            axis == 0 ? dim : !dim.IsKnown ? Dim.Unknown : axis == 1 ? dim.Value / (block * block) : dim.Value * block));
    }

    /// <summary>The shape that two shapes broadcast to; null if one is not known.</summary>
    internal static Shape? BroadcastShapes(Shape? left, Shape? right)
    {
        if (left is null || right is null)
            return null;
        var rank = Math.Max(left.Rank, right.Rank);
        var dims = new Dim[rank];
        for (var i = 1; i <= rank; i++)
        {
            var x = i <= left.Rank ? left[-i] : 1;
            var y = i <= right.Rank ? right[-i] : 1;
            if (x.IsKnown && y.IsKnown && x != y && x != 1 && y != 1)
                throw new InvalidOperationException($"shapes {left} and {right} do not broadcast");
            dims[rank - i] = x == y || y == 1 ? x : x == 1 ? y : x.IsKnown ? x : y.IsKnown ? y : Dim.Unknown;
        }
        return Shape.Create(dims);
    }

    /// <summary>An axis counted from the front.</summary>
    internal static int Axis(long axis, int rank) =>
        axis >= -rank && axis < rank
            ? (int)(axis < 0 ? axis + rank : axis)
            : throw new InvalidOperationException($"axis {axis} does not exist in a value of {rank} axes");

    private static Dim[] ToArrayOfDims(this Shape shape) => [.. shape];

    private static Shape First(Shape shape, int count) => [.. shape.Take(Math.Max(0, count))];

    private static Dim Both(Dim left, Dim right, Func<long, long, long> combine) =>
        left.IsKnown && right.IsKnown ? combine(left.Value, right.Value) : Dim.Unknown;

    private static Shape? Map(Shape? shape, Func<Dim, Dim> map) => shape is null ? null : [.. shape.Select(map)];

    private static Shape? Map(Shape? shape, Func<Dim, int, Dim> map) => shape is null ? null : [.. shape.Select(map)];

    // The shape described by a vector of which only the length is known.
    private static Shape? UnknownOf(Shape? vector) =>
        vector is { Rank: 1 } && vector[0].IsKnown ? Shape.Create(new Dim[vector[0].Value]) : null;

    private static long[] Filled(int count, long value) => [.. Enumerable.Repeat(value, count)];

    /// <summary>Evenly spaced positions on an axis.</summary>
    internal readonly record struct SliceRange(long Start, long Step, long Count)
    {
        public IEnumerable<T> Select<T>(Func<long, T> map)
        {
            for (var i = 0; i < Count; i++)
                yield return map(Start + (i * Step));
        }
    }

    /// <summary>What a rule sees of its node.</summary>
    private sealed class NodeInference(Graph graph, Node node)
    {
        public string Op => node.OpType;

        public Attributes Attributes => node.Attributes;

        public int InputCount => node.Inputs.Count;

        public int OutputCount => node.Outputs.Count;

        public bool HasInput(int index) => index < node.Inputs.Count && node.Inputs[index].Length > 0;

        public TensorElementType? Type(int index) => Info(index).Type;

        public Shape? Shape(int index) => Info(index).Shape;

        public Shape? Content(int index) => Info(index).Content;

        /// <summary>Integers that older operator sets keep as an attribute and newer ones take as an input.</summary>
        public long[]? Integers(string attribute, int input) =>
            Attributes.Ints(attribute) ?? (Content(input) is { IsStatic: true } content ? content.ToArray() : null);

        public long[]? Axes(int input) => Integers("axes", input);

        public float[]? Floats(int input) =>
            HasInput(input) && graph.Initializers.TryGetValue(node.Inputs[input], out var tensor)
                && tensor is { Type: TensorElementType.Float, ElementCount: > 0 }
                ? tensor.AsSpan<float>().ToArray()
                : null;

        public void Set(int output, TensorElementType? type, Shape? shape, Shape? content = null)
        {
            if (output >= node.Outputs.Count || node.Outputs[output].Length == 0)
                return;
            graph.Values[node.Outputs[output]] = new(type, shape, IsInteger(type) && shape is { Rank: <= 1 } ? content : null);
        }

        public void Broadcast(TensorElementType? type, Func<Dim, Dim, Dim>? combine = null)
        {
            var shape = Shape(0);
            for (var i = 1; i < node.Inputs.Count; i++)
            {
                try
                {
                    shape = BroadcastShapes(shape, Shape(i));
                }
                catch (InvalidOperationException error)
                {
                    throw Error(error.Message);
                }
            }
            Shape? content = null;
            if (combine is not null && node.Inputs.Count == 2 && Content(0) is { } left && Content(1) is { } right)
            {
                var count = Math.Max(left.Count, right.Count);
                Dim Element(Shape operand, int index) => operand[operand.Count == 1 ? 0 : index];
                if ((left.Count == count || left.Count == 1) && (right.Count == count || right.Count == 1))
                    content = [.. Enumerable.Range(0, count).Select(i => combine(Element(left, i), Element(right, i)))];
            }
            Set(0, type, shape, content);
        }

        public InvalidOperationException Error(string reason) => new($"{(node.Name.Length > 0 ? node.Name : node.OpType)}: {reason}.");

        private ValueInfo Info(int index) => HasInput(index) ? graph.Info(node.Inputs[index]) : new(null, null);
    }
}
