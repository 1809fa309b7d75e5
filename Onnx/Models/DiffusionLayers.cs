using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>The layers that diffusers' UNet and autoencoder share. Maps are [N, C, H, W]; they start as PyTorch's do.</summary>
internal static class DiffusionLayers
{
    /// <summary>Linear map of the last axis.</summary>
    public static Value Dense(this Value value, Parameters parameters, long width, bool bias = true) =>
        value.Linear(parameters, width, bias, Initialization.FanIn(value.Shape[-1].Value));

    /// <summary>x sigmoid(x).</summary>
    public static Value Silu(this Value value) => value * value.Apply("Sigmoid");

    /// <summary>Group normalisation, each channel with a scale and a shift of its own; then SiLU on request.</summary>
    public static Value GroupNorm(this Value map, Parameters parameters, int groups, float epsilon, bool silu = false)
    {
        using var scope = parameters.Scope();
        var channels = map.Shape[1].Value;
        return Ops.GroupNorm.Apply(
            map, parameters.Get("weight", Initialization.Ones, channels), parameters.Get("bias", Initialization.Zeros, channels),
            groups, epsilon, silu);
    }

    /// <summary>Two convolutions with a residual sum; <paramref name="time"/> [N or 1, width] is what the first one's result is shifted by.</summary>
    public static Value ResnetBlock(this Value map, Value? time, Parameters parameters, long channels, int groups, float epsilon)
    {
        using var scope = parameters.Scope();
        var hidden = map.GroupNorm(parameters["norm1"], groups, epsilon, silu: true).Conv2d(parameters["conv1"], channels, kernel: 3, padding: 1);
        if (time is not null)
            hidden += time.Dense(parameters["time_emb_proj"], channels).Unsqueeze(2, 3);
        hidden = hidden.GroupNorm(parameters["norm2"], groups, epsilon, silu: true).Conv2d(parameters["conv2"], channels, kernel: 3, padding: 1);
        var residual = map.Shape[1].Value == channels ? map : map.Conv2d(parameters["conv_shortcut"], channels, kernel: 1);
        return residual + hidden;
    }

    /// <summary>Repeats each row and column, then a convolution.</summary>
    public static Value Upsample(this Value map, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var builder = map.Builder;
        // By scales: where ONNX Runtime fuses nodes around our kernels, it takes sizes that are computed for none.
        var enlarged = builder.Op("Resize", [map, null, builder.Constant(Tensor.Create<float>([1, 1, 2, 2], 4))], new()
        {
            ["mode"] = "nearest", ["coordinate_transformation_mode"] = "asymmetric", ["nearest_mode"] = "floor",
        });
        return enlarged.Conv2d(parameters["conv"], map.Shape[1].Value, kernel: 3, padding: 1);
    }

    /// <summary>[N, C, H, W] to [N, H * W, C].</summary>
    public static Value ToTokens(this Value map) => map.Reshape(0, map.Shape[1].Value, -1).Transpose(0, 2, 1);

    /// <summary>[N, H * W, C] to [N, C, H, W], with H and W those of another map.</summary>
    public static Value ToMap(this Value tokens, Value sizeOf) => tokens.Transpose(0, 2, 1).Reshape(sizeOf.ShapeOf());
}
