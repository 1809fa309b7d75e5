namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>How a kernel moves over the spatial axes of [N, C, ...]: a convolution's or pooling's attributes with their defaults.</summary>
internal sealed class Window
{
    /// <param name="node">The convolution or pooling.</param>
    /// <param name="input">The spatial sizes that the kernel moves over.</param>
    /// <param name="kernel">The size of the kernel.</param>
    /// <param name="output">The number of places along each axis.</param>
    public Window(Node node, long[] input, long[] kernel, long[] output)
    {
        (Input, Kernel, Output) = (input, kernel, output);
        var rank = input.Length;
        Strides = node.Attributes.Ints("strides") ?? Ones(rank);
        Dilations = node.Attributes.Ints("dilations") ?? Ones(rank);
        (Before, After) = (new long[rank], new long[rank]);
        var pads = node.Attributes.Ints("pads") ?? new long[2 * rank];
        var autoPad = node.Attributes.String("auto_pad", "NOTSET");
        for (var i = 0; i < rank; i++)
        {
            (Before[i], After[i]) = autoPad == "VALID" ? (0, 0) : (pads[i], pads[i + rank]);
            if (autoPad is not ("SAME_UPPER" or "SAME_LOWER"))
                continue;
            var total = Math.Max(0, ((output[i] - 1) * Strides[i]) + Extent(i) - input[i]);
            var less = total / 2;
            (Before[i], After[i]) = autoPad == "SAME_UPPER" ? (less, total - less) : (total - less, less);
        }
    }

    public long[] Input { get; }

    public long[] Kernel { get; }

    public long[] Output { get; }

    public long[] Strides { get; }

    public long[] Dilations { get; }

    /// <summary>Padding before each axis.</summary>
    public long[] Before { get; }

    /// <summary>Padding behind each axis.</summary>
    public long[] After { get; }

    public int Rank => Input.Length;

    public long[] Pads => [.. Before, .. After];

    /// <summary>Whether the windows tile the input: they neither overlap nor leave anything out, and there is no padding.</summary>
    public bool IsTiling =>
        Kernel.AsSpan().SequenceEqual(Strides) && Dilations.All(dilation => dilation == 1) && Pads.All(pad => pad == 0) &&
        Enumerable.Range(0, Rank).All(i => Input[i] == Output[i] * Kernel[i]);

    /// <summary>The positions that a kernel spans along an axis.</summary>
    public long Extent(int axis) => ((Kernel[axis] - 1) * Dilations[axis]) + 1;

    public Attributes ToAttributes(long group) => new()
    {
        ["kernel_shape"] = Kernel, ["strides"] = Strides, ["dilations"] = Dilations, ["pads"] = Pads, ["group"] = group,
    };

    private static long[] Ones(int count) => [.. Enumerable.Repeat(1L, count)];
}
