using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>
/// A convolution that sees each small square patch on its own, with zeros around it, as one linear map of the flattened patches: on a
/// patch of fixed size the two are the same, and one large product is faster than many thousand tiny convolutions.
/// </summary>
internal sealed record PatchConvolution
{
    /// <summary>The side of a patch.</summary>
    public required int Size { get; init; }

    /// <summary>The number of channels of a patch.</summary>
    public required long InputChannels { get; init; }

    public required long OutputChannels { get; init; }

    public required int Kernel { get; init; }

    public required int Stride { get; init; }

    public required int Padding { get; init; }

    /// <summary>Whether patches are flattened from [Size, Size, channels] rather than from [channels, Size, Size].</summary>
    public bool ChannelsLast { get; init; }

    /// <summary>The side of the result.</summary>
    public int OutputSize => ((Size + (2 * Padding) - Kernel) / Stride) + 1;

    /// <summary>Flattened patches to flattened results; <c>weight</c> and <c>bias</c> as for Conv.</summary>
    /// <param name="patches">[..., Size^2 * InputChannels]</param>
    /// <param name="parameters">Those of the convolution.</param>
    /// <param name="position">What is added to the result of every patch, [1, OutputSize^2, OutputChannels].</param>
    /// <returns>[..., OutputSize^2 * OutputChannels], channels last.</returns>
    public Value Apply(Value patches, Parameters parameters, Value? position = null)
    {
        using var scope = parameters.Scope();
        var initialization = Initialization.FanIn(InputChannels * Kernel * Kernel);
        var weight = parameters.Get("weight", initialization, OutputChannels, InputChannels, Kernel, Kernel);
        var bias = parameters.Get("bias", initialization, OutputChannels);
        long words = OutputSize * OutputSize;
        var added = position is null ? bias.Expand(weight.Builder.Int64(words, OutputChannels)) : position + bias;
        return patches.MatMul(Matrix(weight)) + added.Reshape(words * OutputChannels);
    }

    // The map [inputs, outputs]: the kernel at each place, first along the columns, then along the rows.
    private Value Matrix(Value weight)
    {
        var places = Places(weight.Builder);
        var (size, outputSize) = ((long)Size, (long)OutputSize);
        return weight.Reshape(-1, Kernel).MatMul(places)
            .Reshape(OutputChannels, InputChannels, Kernel, outputSize, size).Transpose(0, 1, 3, 4, 2).Reshape(-1, Kernel).MatMul(places)
            .Reshape(OutputChannels, InputChannels, outputSize, size, outputSize, size)
            .Transpose(ChannelsLast ? [5, 3, 1, 4, 2, 0] : [1, 5, 3, 4, 2, 0])
            .Reshape(size * size * InputChannels, outputSize * outputSize * OutputChannels);
    }

    // [Kernel, OutputSize * Size]: 1 where a step of the kernel at an output meets an input.
    private Value Places(GraphBuilder builder)
    {
        var places = new float[Kernel, OutputSize, Size];
        for (var step = 0; step < Kernel; step++)
        {
            for (var output = 0; output < OutputSize; output++)
            {
                var input = (output * Stride) - Padding + step;
                if (input >= 0 && input < Size)
                    places[step, output, input] = 1;
            }
        }
        return builder.Constant(Tensor.Create<float>(places.Cast<float>().ToArray(), Kernel, OutputSize * Size));
    }
}
