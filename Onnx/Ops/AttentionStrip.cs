namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// One of the two strips of efficient local attention in the definitions of the operator and its gradient: the means over one axis of
/// a map, convolved and normalised. The other axis stays, so that the gates broadcast: [N, C, H, 1] or [N, C, 1, W].
/// </summary>
internal sealed class AttentionStrip
{
    private readonly Value _x;
    private readonly long _axis;
    private readonly Value _weight;
    private readonly Value _scale;
    private readonly Value _mean;
    private readonly Value _inverse;
    private readonly Value _normalized;

    /// <summary>Builds the strip inside a function body with the attributes of the operator.</summary>
    /// <param name="x">[N, C, H, W]</param>
    /// <param name="axis">The axis that is averaged: 3 for the means of the rows, 2 for those of the columns.</param>
    /// <param name="weight">[C, C / group, k]</param>
    /// <param name="scale">[C]</param>
    /// <param name="bias">[C]</param>
    public AttentionStrip(Value x, long axis, Value weight, Value scale, Value bias)
    {
        (_x, _axis, _weight, _scale) = (x, axis, weight, scale.Reshape(1, -1, 1));
        _mean = x.ReduceMean([axis]);
        var convolved = x.Builder.Op("Conv", [_mean, weight], Convolution);
        var groups = Groups(convolved);
        var centered = groups - groups.ReduceMean([2], keepDims: true);
        var epsilon = x.Builder.Op("CastLike", [x.Builder.Attribute("epsilon", typeof(float)), x]);
        _inverse = ((centered * centered).ReduceMean([2], keepDims: true) + epsilon).Apply("Sqrt").Apply("Reciprocal");
        _normalized = centered * _inverse;
        Gate = ((Strip(_normalized) * _scale) + bias.Reshape(1, -1, 1)).Apply("Sigmoid").Unsqueeze(axis);
    }

    /// <summary>What the map is multiplied by.</summary>
    public Value Gate { get; }

    private static Attributes Convolution => new()
    {
        ["auto_pad"] = "SAME_UPPER",
        ["group"] = new AttributeReference("group", typeof(long)),
    };

    /// <summary>From the gradient of the gate that of the map, the weights, the scale and the bias.</summary>
    public (Value X, Value Weight, Value Scale, Value Bias) Gradients(Value gateGrad)
    {
        var builder = _x.Builder;
        var shiftedGrad = (gateGrad * Gate * (1 - Gate)).Squeeze(_axis);
        var grad = Groups(shiftedGrad * _scale);
        var convolvedGrad = Strip(_inverse * (grad - grad.ReduceMean([2], keepDims: true)
            - (_normalized * (grad * _normalized).ReduceMean([2], keepDims: true))));
        var meanGrad = builder.Op("ConvTranspose", [convolvedGrad, _weight], Convolution).Unsqueeze(_axis);
        var length = builder.Op("CastLike", [_x.ShapeOf(_axis, _axis + 1).Squeeze(0), _x]);
        return (
            meanGrad / length,
            WeightGradient(convolvedGrad),
            (shiftedGrad * Strip(_normalized)).ReduceSum([0, 2]),
            shiftedGrad.ReduceSum([0, 2]));
    }

    // [N, C, L] to [N, groups, C / groups * L] and back
    private static Value Groups(Value strip) =>
        strip.Reshape(strip.Builder.Concat(
            0, strip.Builder.Int64(0), strip.Builder.Attribute("num_groups", typeof(long)).Reshape(1), strip.Builder.Int64(-1)));

    private Value Strip(Value groups) => groups.Reshape(_mean.ShapeOf());

    // A convolution of the strips with the output's gradients as a kernel, where batch and channels have changed places.
    private Value WeightGradient(Value convolvedGrad)
    {
        var builder = _x.Builder;
        var group = builder.Attribute("group", typeof(long)).Reshape(1);
        var padding = _weight.ShapeOf(2, 3) / builder.Int64(2);
        var padded = builder.Op("Pad", [_mean, builder.Concat(0, padding, padding), null, builder.Int64(2)]);
        var strips = padded.Reshape(builder.Concat(0, builder.Int64(0), group, builder.Int64(-1), padded.ShapeOf(2, 3)))
            .Transpose(2, 1, 0, 3)
            .Reshape(builder.Concat(0, _weight.ShapeOf(1, 2), builder.Int64(-1), padded.ShapeOf(2, 3)));
        return builder.Op("Conv", [strips, convolvedGrad.Transpose(1, 0, 2)], new()
        {
            ["group"] = new AttributeReference("group", typeof(long)),
        }).Transpose(1, 0, 2);
    }
}
