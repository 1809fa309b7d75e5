using Microsoft.ML.Attention.Onnx.Models;

namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>How far boxes [..., 4] of centre and size cover each other, as values of a graph; leading axes broadcast.</summary>
internal static class BoxOverlap
{
    /// <summary>
    /// Generalised intersection over union: less the part of the box around both that neither covers, in (-1, 1].
    /// <para>Source: Rezatofighi et al., "Generalized Intersection over Union", CVPR 2019 (arXiv 1902.09630).</para>
    /// </summary>
    public static Value Generalized(Value left, Value right)
    {
        var builder = left.Builder;
        var (a, b) = (BoxCoding.ToCorners(left), BoxCoding.ToCorners(right));
        var ((a0, a1), (b0, b1)) = (Halves(a), Halves(b));
        var intersection = Area(Positive(builder.Op("Min", [a1, b1]) - builder.Op("Max", [a0, b0])));
        var union = Area(a1 - a0) + Area(b1 - b0) - intersection;
        var around = Area(Positive(builder.Op("Max", [a1, b1]) - builder.Op("Min", [a0, b0])));
        return (intersection / Safe(union)) - ((around - union) / Safe(around));

        static Value Positive(Value size) => size.Apply("Relu");

        static Value Area(Value size) => size.Slice(-1, 0, 1).Squeeze(-1) * size.Slice(-1, 1, 2).Squeeze(-1);

        // Boxes of no area overlap with nothing.
        static Value Safe(Value area) => area.Builder.Op("Max", [area, area.Builder.Scalar(1e-12, area)]);
    }

    private static (Value First, Value Last) Halves(Value corners) => (corners.Slice(-1, 0, 2), corners.Slice(-1, 2, 4));
}
