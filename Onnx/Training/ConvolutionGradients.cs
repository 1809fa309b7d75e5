using Microsoft.ML.Attention.Onnx.Ops;

namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>Gradient rules of convolutions.</summary>
internal static class ConvolutionGradients
{
    public static Value?[] Conv(NodeGradient node)
    {
        var (x, weight, gradient) = (node.Input(0), node.Input(1), node.Grad);
        var group = node.Attributes.Int("group", 1);
        var window = new Window(node.Node, Spatial(x), Spatial(weight), Spatial(gradient));
        return
        [
            InputGradient(x.Shape, weight, gradient, window, group),
            WeightGradient(x, weight.Shape, gradient, window, group),
            node.HasInput(2) ? BiasGrad.Apply(gradient, channelAxis: 1) : null,
        ];
    }

    /// <summary>A transposed convolution is the gradient of a convolution from its output to its input, so the roles are swapped.</summary>
    public static Value?[] ConvTranspose(NodeGradient node)
    {
        var (x, weight, gradient) = (node.Input(0), node.Input(1), node.Grad);
        if (node.Attributes.String("auto_pad", "NOTSET") != "NOTSET" || node.Attributes.Contains("output_shape"))
            throw node.Unsupported("only explicit pads are");
        var group = node.Attributes.Int("group", 1);
        var window = new Window(node.Node, Spatial(gradient), Spatial(weight), Spatial(x));
        return
        [
            node.Builder.Op("Conv", [gradient, weight], window.ToAttributes(group)),
            WeightGradient(gradient, weight.Shape, x, window, group),
            node.HasInput(2) ? BiasGrad.Apply(gradient, channelAxis: 1) : null,
        ];
    }

    private static Value InputGradient(Shape shape, Value weight, Value gradient, Window window, long group)
    {
        var sizes = shape.ToArray();
        if (window.IsTiling && group == 1)
            return FromPatches(weight.ReshapeTo(Matrix(weight.Shape)).TransposeLast().MatMul(Flat(gradient)), sizes, window);

        var axes = Enumerable.Range(0, window.Rank).ToArray();
        var full = axes.Select(i => window.Extent(i) - 1).ToArray();
        if (window.Strides.All(stride => stride == 1) && axes.All(i => window.Before[i] <= full[i] && window.After[i] <= full[i]))
        {
            var flipped = Flipped(SwapChannels(weight, group));
            Attributes same = new()
            {
                ["kernel_shape"] = window.Kernel,
                ["strides"] = window.Strides,
                ["dilations"] = window.Dilations,
                ["pads"] = (long[])[.. axes.Select(i => full[i] - window.Before[i]), .. axes.Select(i => full[i] - window.After[i])],
                ["group"] = group,
            };
            return DepthwiseConv.IsDepthwise(weight.Shape, group)
                ? DepthwiseConv.Apply(gradient, flipped, null, same)
                : gradient.Builder.Op("Conv", [gradient, flipped], same);
        }
        var attributes = window.ToAttributes(group);
        attributes["output_padding"] = axes
            .Select(i => window.Input[i] + window.Before[i] + window.After[i]
                - ((window.Output[i] - 1) * window.Strides[i]) - window.Extent(i)).ToArray();
        return gradient.Builder.Op("ConvTranspose", [gradient, weight], attributes);
    }

    private static Value WeightGradient(Value x, Shape weight, Value gradient, Window window, long group)
    {
        if (group == 1)
        {
            var columns = window.IsTiling ? ToPatches(x, window) : Columns(x, window);
            return Flat(gradient).MatMul(columns.TransposeLast()).ReduceSum([0]).ReshapeTo(weight.ToArray());
        }
        if (window.Rank > 2)
            throw new NotSupportedException($"The gradient of a grouped convolution of {window.Rank} spatial axes is not supported.");
        return GroupedConvWeightGrad.Apply(gradient, x, window, group).ReshapeTo(weight.ToArray());
    }

    /// <summary>The inputs that each place of the window sees: [N, C, ...] to [N, C * kernel, places].</summary>
    private static Value Columns(Value x, Window window)
    {
        var sizes = x.Shape.ToArray();
        if (window.Pads.Any(pad => pad != 0))
            x = x.Pad([0, 0, .. window.Before, 0, 0, .. window.After]);
        var builder = x.Builder;
        var axes = builder.Int64([.. Enumerable.Range(2, window.Rank).Select(axis => (long)axis)]);
        var parts = new List<Value>();
        foreach (var offset in Offsets(window.Kernel))
        {
            long[] starts = [.. offset.Select((position, i) => position * window.Dilations[i])];
            long[] ends = [.. starts.Select((start, i) => start + ((window.Output[i] - 1) * window.Strides[i]) + 1)];
            var isWhole = Enumerable.Range(0, window.Rank).All(i =>
                starts[i] == 0 && ends[i] == x.Shape[i + 2].Value && window.Strides[i] == 1);
            parts.Add(isWhole
                ? x
                : builder.Op("Slice", [x, builder.Int64(starts), builder.Int64(ends), axes, builder.Int64(window.Strides)]));
        }
        // Placed along a new axis behind the channels, which is the order of the weights.
        var places = window.Output.Aggregate(1L, (product, size) => product * size);
        if (parts.Count == 1)
            return parts[0].ReshapeTo(sizes[0], sizes[1], places);
        return builder.Concat(2, [.. parts.Select(part => part.ReshapeTo(sizes[0], sizes[1], 1, places))])
            .ReshapeTo(sizes[0], sizes[1] * parts.Count, places);
    }

    private static IEnumerable<long[]> Offsets(long[] kernel)
    {
        var count = kernel.Aggregate(1L, (product, size) => product * size);
        for (var i = 0L; i < count; i++)
        {
            var offset = new long[kernel.Length];
            var rest = i;
            for (var axis = kernel.Length - 1; axis >= 0; axis--)
                (rest, offset[axis]) = Math.DivRem(rest, kernel[axis]);
            yield return offset;
        }
    }

    // [N, C, o1 * k1, o2 * k2] to [N, C * k1 * k2, o1 * o2].
    private static Value ToPatches(Value x, Window window)
    {
        var sizes = x.Shape.ToArray();
        long[] split = [sizes[0], sizes[1],
            .. Enumerable.Range(0, window.Rank).SelectMany(i => new[] { window.Output[i], window.Kernel[i] })];
        var axes = Enumerable.Range(0, window.Rank).ToArray();
        long[] order = [0, 1, .. axes.Select(i => 3L + (2 * i)), .. axes.Select(i => 2L + (2 * i))];
        var kernel = window.Kernel.Aggregate(1L, (product, size) => product * size);
        var patches = kernel == 1 ? x : x.ReshapeTo(split).Transpose(order);
        return patches.ReshapeTo(sizes[0], sizes[1] * kernel, window.Output.Aggregate(1L, (product, size) => product * size));
    }

    private static Value FromPatches(Value patches, long[] sizes, Window window)
    {
        long[] split = [sizes[0], sizes[1], .. window.Kernel, .. window.Output];
        long[] order = [0, 1, .. Enumerable.Range(0, window.Rank).SelectMany(i => new[] { 2L + window.Rank + i, 2L + i })];
        var isTransposed = window.Kernel.Any(size => size != 1);
        return (isTransposed ? patches.ReshapeTo(split).Transpose(order) : patches).ReshapeTo(sizes);
    }

    // [M, C / group, ...] to [C, M / group, ...].
    private static Value SwapChannels(Value weight, long group)
    {
        var sizes = weight.Shape.ToArray();
        var (outputs, inputs) = (sizes[0] / group, sizes[1]);
        if (outputs == 1 && inputs == 1)
            return weight;
        long[] spatial = [.. Enumerable.Range(3, sizes.Length - 2).Select(axis => (long)axis)];
        return weight.ReshapeTo([group, outputs, inputs, .. sizes[2..]]).Transpose([0, 2, 1, .. spatial])
            .ReshapeTo([group * inputs, outputs, .. sizes[2..]]);
    }

    private static Value Flipped(Value weight)
    {
        long[] axes = [.. Enumerable.Range(2, weight.Shape.Rank - 2).Where(axis => weight.Shape[axis] != 1).Select(axis => (long)axis)];
        if (axes.Length == 0)
            return weight;
        var builder = weight.Builder;
        var back = builder.Int64([.. axes.Select(_ => -1L)]);
        return builder.Op("Slice", [weight, back, builder.Int64([.. axes.Select(_ => long.MinValue)]), builder.Int64(axes), back]);
    }

    private static Value Flat(Value value) =>
        value.ReshapeTo(value.Shape[0].Value, value.Shape[1].Value, Spatial(value).Aggregate(1L, (product, size) => product * size));

    private static long[] Matrix(Shape weight) => [weight[0].Value, weight.ElementCount / weight[0].Value];

    private static long[] Spatial(Value value) => value.Shape.ToArray()[2..];
}
