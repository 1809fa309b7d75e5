using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>Gradient rules of operators that pick, place, join, copy and reorder elements.</summary>
internal static class IndexingGradients
{
    public static Value?[] Transpose(NodeGradient node)
    {
        var rank = node.Input(0).Shape.Rank;
        var permutation = node.Attributes.Ints("perm") ?? [.. Enumerable.Range(0, rank).Reverse().Select(axis => (long)axis)];
        var inverse = new long[rank];
        for (var i = 0; i < rank; i++)
            inverse[permutation[i]] = i;
        return [node.Grad.Transpose(inverse)];
    }

    public static Value?[] DepthToSpace(NodeGradient node)
    {
        var block = node.Attributes.Int("blocksize");
        if (node.Attributes.String("mode", "DCR") == "DCR")
            return [node.Builder.Op("SpaceToDepth", [node.Grad], new() { ["blocksize"] = block })];
        var sizes = node.Sizes(0);
        var blocks = node.Grad.ReshapeTo(sizes[0], sizes[1] / (block * block), sizes[2], block, sizes[3], block);
        return [blocks.Transpose(0, 1, 3, 5, 2, 4).ReshapeTo(sizes)];
    }

    public static Value?[] SpaceToDepth(NodeGradient node) =>
        [node.Builder.Op("DepthToSpace", [node.Grad], new() { ["blocksize"] = node.Attributes.Int("blocksize") })];

    public static Value?[] Concat(NodeGradient node)
    {
        if (node.InputCount == 1)
            return [node.Grad];
        var axis = node.Axis(0);
        return node.Grad.Split(axis, [.. Enumerable.Range(0, node.InputCount).Select(i => node.Sizes(i)[axis])]);
    }

    public static Value?[] Split(NodeGradient node)
    {
        var parts = Enumerable.Range(0, node.OutputCount)
            .Select(i => node.OutputGrad(i) ?? node.Zeros(node.Output(i).Shape, node.Input(0)));
        return [node.Builder.Concat(node.Axis(0), [.. parts]), null];
    }

    /// <summary>Puts the gradient back, axis by axis: reversed where the step is negative, with zeros between and around.</summary>
    public static Value?[] Slice(NodeGradient node)
    {
        var sizes = node.Sizes(0);
        var starts = node.Integers("starts", 1)!;
        var ends = node.Integers("ends", 2)!;
        var axes = node.Integers("axes", 3) ?? [.. Enumerable.Range(0, starts.Length).Select(axis => (long)axis)];
        var steps = node.Integers("steps", 4) ?? [.. starts.Select(_ => 1L)];
        var pads = new long[2 * sizes.Length];
        var gradient = node.Grad;
        for (var i = 0; i < axes.Length; i++)
        {
            var axis = ShapeInference.Axis(axes[i], sizes.Length);
            var range = ShapeInference.SlicePositions(sizes[axis], starts[i], ends[i], steps[i]);
            if (range.Count == 0)
                return [node.Zeros(0)];
            var (first, step) = (range.Start, range.Step);
            if (step < 0)
            {
                (first, step) = (range.Start + ((range.Count - 1) * step), -step);
                gradient = gradient.Slice(axis, -1, long.MinValue, -1);
            }
            if (step > 1 && range.Count > 1)
                gradient = Spread(gradient, axis, step);
            pads[axis] = first;
            pads[axis + sizes.Length] = sizes[axis] - first - gradient.Shape[axis].Value;
        }
        return [Array.TrueForAll(pads, pad => pad == 0) ? gradient : gradient.Pad(pads)];
    }

    /// <summary>Puts step - 1 zeros between the positions of an axis.</summary>
    private static Value Spread(Value value, int axis, long step)
    {
        var sizes = value.Shape.ToArray();
        var pads = new long[2 * (sizes.Length + 1)];
        pads[^(sizes.Length - axis)] = step - 1;
        long[] spread = [.. sizes];
        spread[axis] *= step;
        return value.Unsqueeze(axis + 1).Pad(pads).ReshapeTo(spread).Slice(axis, 0, ((sizes[axis] - 1) * step) + 1);
    }

    public static Value?[] Pad(NodeGradient node)
    {
        var sizes = node.Sizes(0);
        var rank = sizes.Length;
        var given = node.Integers("pads", 1)!;
        var axes = node.Integers("axes", 3) ?? [.. Enumerable.Range(0, rank).Select(axis => (long)axis)];
        var (before, after) = (new long[rank], new long[rank]);
        for (var i = 0; i < axes.Length; i++)
        {
            var axis = ShapeInference.Axis(axes[i], rank);
            (before[axis], after[axis]) = (given[i], given[i + axes.Length]);
        }
        var mode = node.Attributes.String("mode", "constant");
        var gradient = node.Grad;
        for (var axis = 0; axis < rank; axis++)
        {
            if (before[axis] == 0 && after[axis] == 0)
                continue;
            if (mode == "constant")
            {
                var size = gradient.Shape[axis].Value;
                gradient = gradient.Slice(axis, Math.Max(0, before[axis]), size - Math.Max(0, after[axis]));
                if (before[axis] < 0 || after[axis] < 0)
                {
                    var pads = new long[2 * rank];
                    (pads[axis], pads[axis + rank]) = (Math.Max(0, -before[axis]), Math.Max(0, -after[axis]));
                    gradient = gradient.Pad(pads);
                }
            }
            else
            {
                gradient = gradient.MultiplyAxis(axis, PadMatrix(node, mode, sizes[axis], before[axis], after[axis]));
            }
        }
        return [gradient, null, null];
    }

    // Row i of the padded axis is a copy of the column that holds a 1.
    private static double[,] PadMatrix(NodeGradient node, string mode, long size, long before, long after)
    {
        var matrix = new double[size + before + after, size];
        for (var i = 0; i < matrix.GetLength(0); i++)
        {
            var source = i - before;
            var period = Math.Max(1, 2 * (size - 1));
            source = mode switch
            {
                "edge" => Math.Clamp(source, 0, size - 1),
                "wrap" => ((source % size) + size) % size,
                "reflect" => (size - 1) - Math.Abs((((source % period) + period) % period) - (size - 1)),
                _ => throw node.Unsupported($"mode '{mode}'"),
            };
            matrix[i, source] = 1;
        }
        return matrix;
    }

    public static Value?[] Tile(NodeGradient node)
    {
        var sizes = node.Sizes(0);
        var repeats = node.Integers("repeats", 1)!;
        var split = sizes.Zip(repeats, (size, repeat) => new[] { repeat, size }).SelectMany(pair => pair).ToArray();
        long[] axes = [.. Enumerable.Range(0, sizes.Length).Select(axis => 2L * axis)];
        return [node.Grad.ReshapeTo(split).ReduceSum(axes), null];
    }

    /// <summary>Adds the gradients of the copies of a slice, with the gathered axis in front.</summary>
    public static Value?[] Gather(NodeGradient node)
    {
        var sizes = node.Sizes(0);
        var axis = node.Axis(0);
        var indices = node.Input(1);
        var (rank, indexRank) = (sizes.Length, indices.Shape.Rank);
        var behind = Enumerable.Range(axis + indexRank, rank - 1 - axis);
        int[] toFront = [.. Enumerable.Range(axis, indexRank), .. Enumerable.Range(0, axis), .. behind];
        long[] toBack = [.. Enumerable.Range(1, axis).Append(0).Concat(Enumerable.Range(axis + 1, rank - 1 - axis)).Select(i => (long)i)];
        Shape front = [sizes[axis], .. sizes.Where((_, i) => i != axis)];
        var gradient = axis == 0 ? node.Grad : node.Grad.Transpose([.. toFront.Select(i => (long)i)]);
        var places = indices.Cast(TensorElementType.Int64).ReshapeTo([.. indices.Shape.ToArray(), 1]);
        var sum = Add(node.Zeros(front, node.Grad), places, gradient);
        return [axis == 0 ? sum : sum.Transpose(toBack), null];
    }

    public static Value?[] GatherElements(NodeGradient node)
    {
        Attributes attributes = new() { ["axis"] = node.Axis(0), ["reduction"] = "add" };
        return [node.Builder.Op("ScatterElements", [node.Zeros(0), node.Input(1), node.Grad], attributes), null];
    }

    public static Value?[] GatherND(NodeGradient node)
    {
        var indices = node.Input(1);
        var batch = (int)node.Attributes.Int("batch_dims", 0);
        if (batch > 0)
        {
            var sizes = indices.Shape.ToArray();
            var positions = new List<Value>();
            for (var axis = 0; axis < batch; axis++)
            {
                var along = new long[sizes.Length];
                Array.Fill(along, 1);
                along[axis] = sizes[axis];
                var range = node.Builder.Int64([.. Enumerable.Range(0, (int)sizes[axis]).Select(i => (long)i)]);
                positions.Add(range.ReshapeTo(along).ExpandTo(Shape.Of([.. sizes[..^1], 1])));
            }
            indices = node.Builder.Concat(-1, [.. positions, indices]);
        }
        return [Add(node.Zeros(0), indices, node.Grad), null];
    }

    public static Value?[] ScatterElements(NodeGradient node)
    {
        var axis = node.Axis(0);
        var data = Reduction(node) == "add" ? node.Grad
            : node.Builder.Op("ScatterElements", [node.Grad, node.Input(1), node.Zeros(2)], new() { ["axis"] = axis });
        return [data, null, node.Grad.GatherElements(node.Input(1), axis)];
    }

    public static Value?[] ScatterND(NodeGradient node)
    {
        var data = Reduction(node) == "add" ? node.Grad : node.Builder.Op("ScatterND", [node.Grad, node.Input(1), node.Zeros(2)]);
        return [data, null, node.Builder.Op("GatherND", [node.Grad, node.Input(1)])];
    }

    public static Value?[] TopK(NodeGradient node) =>
        [node.Builder.Op("ScatterElements", [node.Zeros(0), node.Output(1), node.Grad], new() { ["axis"] = node.Axis(-1) }), null];

    public static Value?[] Trilu(NodeGradient node)
    {
        var diagonal = node.HasInput(1) ? node.Input(1) : null;
        return [node.Builder.Op("Trilu", [node.Grad, diagonal], node.Attributes.Clone()), null];
    }

    /// <summary>Adds slices into a value at positions of which some may be equal.</summary>
    public static Value Add(Value into, Value indices, Value slices) =>
        into.Builder.Op("ScatterND", [into, indices, slices], new() { ["reduction"] = "add" });

    private static string Reduction(NodeGradient node) => node.Attributes.String("reduction", "none") switch
    {
        "none" => "none",
        "add" => "add",
        var other => throw node.Unsupported($"reduction '{other}'"),
    };
}
