namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>One parameter in the flat vector of its group.</summary>
/// <param name="Name">The name of the initialiser in the model.</param>
/// <param name="Dims">Its sizes.</param>
/// <param name="Offset">The index of its first element.</param>
internal sealed record ParameterSlot(string Name, long[] Dims, long Offset)
{
    public long Count => Dims.Aggregate(1L, (product, dim) => product * dim);
}

/// <summary>Parameters of one size that are updated alike, kept in one flat vector.</summary>
/// <param name="Optimizer">How they are updated.</param>
/// <param name="WeightDecay">How strongly they are pulled towards zero.</param>
/// <param name="LearningRateScale">A factor on the learning rate.</param>
/// <param name="InHalf">Whether the graph takes them in half precision; the vector is in single precision all the same.</param>
/// <param name="Slots">The parameters.</param>
internal sealed record ParameterGroup(
    Optimizer Optimizer, float WeightDecay, float LearningRateScale, bool InHalf, IReadOnlyList<ParameterSlot> Slots)
{
    /// <summary>The name of the value that the graph takes a parameter from.</summary>
    public string ValueOf(ParameterSlot slot) => InHalf ? MixedPrecision.InHalf(slot.Name) : slot.Name;

    public long Count => Slots.Sum(slot => slot.Count);

    /// <summary>Lays parameters out one behind the other.</summary>
    public static IReadOnlyList<ParameterSlot> Slot(IEnumerable<(string Name, Tensor Tensor)> parameters)
    {
        var slots = new List<ParameterSlot>();
        var offset = 0L;
        foreach (var (name, tensor) in parameters)
        {
            slots.Add(new(name, [.. tensor.Dims], offset));
            offset += tensor.ElementCount;
        }
        return slots;
    }
}
