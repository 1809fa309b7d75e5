namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>
/// The gradient rule of Resize. Interpolation is separable and linear: along each axis the result is a constant matrix times the input, so
/// the gradient is a product with the same matrix.
/// </summary>
internal static class ResizeGradient
{
    public static Value?[] Resize(NodeGradient node)
    {
        var (input, output) = (node.Sizes(0), node.Grad.Shape.ToArray());
        var scales = Scales(node, input, output);
        var gradient = node.Grad;
        for (var axis = 0; axis < input.Length; axis++)
        {
            if (input[axis] != output[axis] || scales[axis] != 1)
                gradient = gradient.MultiplyAxis(axis, Matrix(node, (int)input[axis], (int)output[axis], scales[axis]));
        }
        return [gradient, null, null, null];
    }

    private static double[] Scales(NodeGradient node, long[] input, long[] output)
    {
        var scales = input.Zip(output, (from, to) => (double)to / from).ToArray();
        if (!node.HasInput(2) || !node.Builder.Graph.Initializers.TryGetValue(node.Node.Inputs[2], out var given)
            || given.ElementCount == 0)
            return node.HasInput(3) ? scales : throw node.Unsupported("its scales are computed from data");
        var axes = node.Attributes.Ints("axes") ?? [.. Enumerable.Range(0, input.Length).Select(axis => (long)axis)];
        for (var i = 0; i < axes.Length; i++)
            scales[ShapeInference.Axis(axes[i], input.Length)] = given.AsSpan<float>()[i];
        return scales;
    }

    /// <summary>How much of each input position (column) is in each output position (row).</summary>
    private static double[,] Matrix(NodeGradient node, int input, int output, double scale)
    {
        var matrix = new double[output, input];
        for (var i = 0; i < output; i++)
        {
            var position = Position(node, i, input, output, scale);
            foreach (var (index, weight) in Taps(node, position, input, scale))
                matrix[i, Math.Clamp(index, 0, input - 1)] += weight;
        }
        return matrix;
    }

    private static double Position(NodeGradient node, int i, int input, int output, double scale) =>
        node.Attributes.String("coordinate_transformation_mode", "half_pixel") switch
        {
            "half_pixel" => ((i + 0.5) / scale) - 0.5,
            "half_pixel_symmetric" => (input / 2.0 * (1 - (output / (scale * input)))) + ((i + 0.5) / scale) - 0.5,
            "pytorch_half_pixel" => output > 1 ? ((i + 0.5) / scale) - 0.5 : 0,
            "align_corners" => output > 1 ? (double)i * (input - 1) / (output - 1) : 0,
            "asymmetric" => i / scale,
            var other => throw node.Unsupported($"coordinate_transformation_mode '{other}'"),
        };

    private static (int Index, double Weight)[] Taps(NodeGradient node, double position, int size, double scale)
    {
        var mode = node.Attributes.String("mode", "nearest");
        if (mode == "nearest")
            return [(Nearest(node, position), 1)];
        var a = node.Attributes.Float("cubic_coeff_a", -0.75f);
        Func<double, double> filter = mode == "cubic" ? distance => Cubic(distance, a) : distance => Math.Max(0, 1 - Math.Abs(distance));
        var shrink = node.Attributes.Int("antialias", 0) != 0 ? Math.Min(1, scale) : 1;
        var support = (mode == "cubic" ? 2 : 1) / shrink;
        var first = (int)Math.Floor(position - support) + 1;
        var taps = Enumerable.Range(first, (int)Math.Ceiling(position + support) - first)
            .Select(index => (Index: index, Weight: filter((index - position) * shrink))).ToArray();
        if (node.Attributes.Int("exclude_outside", 0) != 0)
            taps = [.. taps.Where(tap => tap.Index >= 0 && tap.Index < size)];
        var total = taps.Sum(tap => tap.Weight);
        return Array.ConvertAll(taps, tap => (tap.Index, tap.Weight / total));
    }

    private static int Nearest(NodeGradient node, double position) =>
        (int)(node.Attributes.String("nearest_mode", "round_prefer_floor") switch
    {
        "round_prefer_floor" => Math.Ceiling(position - 0.5),
        "round_prefer_ceil" => Math.Floor(position + 0.5),
        "floor" => Math.Floor(position),
        "ceil" => Math.Ceiling(position),
        var other => throw node.Unsupported($"nearest_mode '{other}'"),
    });

    private static double Cubic(double distance, double a)
    {
        var x = Math.Abs(distance);
        return x < 1 ? ((((a + 2) * x) - (a + 3)) * x * x) + 1
            : x < 2 ? ((((x - 5) * x) + 8) * x * a) - (4 * a)
            : 0;
    }
}
