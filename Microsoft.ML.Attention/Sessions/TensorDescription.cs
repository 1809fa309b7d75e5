using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention;

/// <summary>A model's input or output as the model declares it.</summary>
/// <param name="Name">The tensor's name in the graph.</param>
/// <param name="ElementType">The type of an element.</param>
/// <param name="Dimensions">The shape, -1 where the model leaves a dimension open; the first one counts rows.</param>
internal sealed record TensorDescription(string Name, TensorElementType ElementType, long[] Dimensions)
{
    /// <summary>The rows that one run takes, or -1 where any number will do.</summary>
    public long Rows => Dimensions.Length == 0 ? 1 : Dimensions[0];

    /// <summary>The shape of one row's part: every dimension but the first.</summary>
    public ReadOnlySpan<long> RowShape => Dimensions.AsSpan(Math.Min(1, Dimensions.Length));

    public string ShapeText => $"[{string.Join(", ", Dimensions.Select(d => d < 0 ? "?" : d.ToString()))}]";

    public static TensorDescription From(string name, NodeMetadata metadata)
    {
        if (!metadata.IsTensor)
        {
            throw new NotSupportedException($"'{name}' is a {metadata.OnnxValueType}, not a tensor: export the model with tensor inputs "
                + "and outputs (for scikit-learn: the converter's option zipmap=False).");
        }
        return new(name, metadata.ElementDataType, Array.ConvertAll(metadata.Dimensions, d => (long)d));
    }
}
