using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>
/// The layers that models are made of, as functions of a value and a module's parameters, which are named as in PyTorch's checkpoints.
/// </summary>
internal static class Layers
{
    /// <summary>Linear map of the last axis; <c>weight</c> [out, in], <c>bias</c> [out].</summary>
    /// <param name="value">[..., in]</param>
    /// <param name="parameters">Those of the layer.</param>
    /// <param name="width">The number of outputs.</param>
    /// <param name="bias">Whether there is a bias.</param>
    /// <param name="initialization">Of weight and bias; those of the parameters if null.</param>
    public static Value Linear(
        this Value value, Parameters parameters, long width, bool bias = true, Initialization? initialization = null)
    {
        using var scope = parameters.Scope();
        var weight = parameters.Get("weight", initialization ?? parameters.LinearInitialization, width, value.Shape[-1].Value);
        var product = value.MatMul(weight.Transpose(1, 0));
        return bias ? product + parameters.Get("bias", initialization ?? parameters.LinearBiasInitialization, width) : product;
    }

    /// <summary>Several linear maps of the same value as one product, whose last axis has their results one after another.</summary>
    public static Value JoinedLinear(this Value value, bool bias, params ReadOnlySpan<(Parameters Parameters, long Width)> maps)
    {
        var builder = value.Builder;
        var inputs = value.Shape[-1].Value;
        long total = 0, unit = 0;
        foreach (var (_, width) in maps)
            (total, unit) = (total + width, GreatestCommonDivisor(unit, width));
        var weights = new Value[maps.Length];
        var biases = new Value[bias ? maps.Length : 0];
        for (var i = 0; i < maps.Length; i++)
        {
            var (parameters, width) = maps[i];
            // Joined as few long rows: ONNX Runtime's CUDA kernels make a table with an entry for each position of the axis.
            weights[i] = parameters.Get("weight", parameters.LinearInitialization, width, inputs).Reshape(width / unit, unit * inputs);
            if (bias)
                biases[i] = parameters.Get("bias", parameters.LinearBiasInitialization, width);
        }
        var product = value.MatMul(builder.Concat(0, weights).Reshape(total, inputs).Transpose(1, 0));
        return bias ? product + builder.Concat(0, biases) : product;

        static long GreatestCommonDivisor(long a, long b) => a == 0 ? b : GreatestCommonDivisor(b % a, a);
    }

    /// <summary>Convolution of [N, C, H, W]; <c>weight</c> [channels, C / group, kernel, kernel], <c>bias</c> [channels].</summary>
    public static Value Conv2d(
        this Value value, Parameters parameters, long channels, long kernel,
        long stride = 1, long padding = 0, long group = 1, bool bias = true)
    {
        using var scope = parameters.Scope();
        var inputs = value.Shape[1].Value / group;
        var initialization = Initialization.FanIn(inputs * kernel * kernel);
        var weight = parameters.Get("weight", initialization, channels, inputs, kernel, kernel);
        return value.Conv2d(weight, bias ? parameters.Get("bias", initialization, channels) : null, stride, padding, group);
    }

    /// <summary>Convolution of each channel of [N, C, H, W] on its own that keeps the map's size; <c>kernel</c> is odd.</summary>
    public static Value DepthwiseConv2d(this Value value, Parameters parameters, long kernel)
    {
        var channels = value.Shape[1].Value;
        return value.Conv2d(parameters, channels, kernel, padding: kernel / 2, group: channels);
    }

    /// <summary>
    /// Convolution of [N, C, H, W] without bias that pads as much as keeps the map's size at stride 1, then batch normalisation: what
    /// convolutional networks are made of.
    /// </summary>
    public static Value ConvNorm(
        this Value value, Parameters convolution, Parameters norm, long channels, long kernel,
        long stride = 1, long group = 1, long dilation = 1)
    {
        using var scope = convolution.Scope();
        var weight = convolution.Get(
            "weight", Initialization.FanOut(kernel * kernel * channels), channels, value.Shape[1].Value / group, kernel, kernel);
        return value.Conv2d(weight, null, stride, dilation * (kernel / 2), group, dilation).BatchNorm(norm);
    }

    /// <summary>Batch normalisation of [N, C, H, W] by the running statistics.</summary>
    public static Value BatchNorm(this Value value, Parameters parameters, float epsilon = 1e-5f)
    {
        using var scope = parameters.Scope();
        var channels = value.Shape[1].Value;
        return value.Builder.Op("BatchNormalization",
        [
            value,
            parameters.Get("weight", Initialization.Ones, channels),
            parameters.Get("bias", Initialization.Zeros, channels),
            parameters.Get("running_mean", Initialization.Zeros, channels),
            parameters.Get("running_var", Initialization.Ones, channels),
        ], new() { ["epsilon"] = epsilon });
    }

    /// <summary>Layer normalisation over the last axis.</summary>
    public static Value LayerNorm(this Value value, Parameters parameters, float epsilon)
    {
        using var scope = parameters.Scope();
        var width = value.Shape[-1].Value;
        return value.LayerNormalization(
            parameters.Get("weight", Initialization.Ones, width), parameters.Get("bias", Initialization.Zeros, width), epsilon);
    }

    /// <summary>[N, C, H, W] to [N, H, W, C].</summary>
    public static Value ToChannelsLast(this Value map) => map.Transpose(0, 2, 3, 1);

    /// <summary>[N, H, W, C] to [N, C, H, W].</summary>
    public static Value ToChannelsFirst(this Value map) => map.Transpose(0, 3, 1, 2);

    /// <summary>Gives [N, ...] the sizes of a map, which may be open.</summary>
    public static Value ReshapeLike(this Value value, Value map) =>
        map.Shape.Skip(1).All(dim => dim.IsKnown)
            ? value.Reshape([0, .. map.Shape.Skip(1).Select(dim => dim.Value)])
            : value.Reshape(map.ShapeOf());
}
