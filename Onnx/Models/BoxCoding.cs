using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>
/// Boxes as detectors code them. A box is [..., 4]: centre x and y, width and height, or the corners x0, y0, x1, y1.
/// </summary>
internal static class BoxCoding
{
    // |ln 0.016|: a box grows or shrinks by no more in one step.
    private const double LargestLogRatio = 4.135166556742356;

    /// <summary>Centre and size to corners.</summary>
    public static Value ToCorners(Value boxes)
    {
        var (centre, half) = Halves(boxes);
        half *= 0.5;
        return boxes.Builder.Concat(-1, centre - half, centre + half);
    }

    /// <summary>Corners to centre and size.</summary>
    public static Value ToCentre(Value corners)
    {
        var (first, last) = Halves(corners);
        return corners.Builder.Concat(-1, (first + last) * 0.5, last - first);
    }

    /// <summary>Corners, none below 0 and none above limits that are given as x, y, x, y.</summary>
    public static Value Clamp(Value corners, Value limits)
    {
        var builder = corners.Builder;
        return builder.Op("Min", [builder.Op("Max", [corners, builder.Scalar(0, corners)]), limits]);
    }

    /// <summary>Moves and scales boxes by amounts relative to their size, and clamps them to an image.</summary>
    /// <param name="boxes">Centre and size in pixels, [N, Q, 4].</param>
    /// <param name="deltas">Shifts in parts of the size, logarithms of scales, [N, Q, 4].</param>
    /// <param name="maxSize">Height and width of the images in pixels, [N, 2].</param>
    public static Value Decode(Value boxes, Value deltas, Value maxSize) => ToCentre(DecodeCorners(boxes, deltas, maxSize));

    /// <inheritdoc cref="Decode"/>
    public static Value DecodeCorners(Value boxes, Value deltas, Value maxSize)
    {
        var builder = boxes.Builder;
        var ((centre, size), (shift, logRatio)) = (Halves(boxes), Halves(deltas));
        var ratio = logRatio.Clip(-LargestLogRatio, LargestLogRatio).Apply("Exp");
        var corners = ToCorners(builder.Concat(-1, centre + (size * shift), size * ratio));
        var (height, width) = (maxSize.Slice(1, 0, 1), maxSize.Slice(1, 1, 2));
        return Clamp(corners, builder.Concat(1, width, height, width, height).Unsqueeze(1));
    }

    /// <summary>The deltas from boxes to others. Sizes count as larger by 0.1 pixels, which <see cref="Decode"/> does not undo.</summary>
    public static Value Encode(Value boxes, Value targets)
    {
        var ((centre, size), (targetCentre, targetSize)) = (Halves(boxes), Halves(targets));
        size += 0.1;
        return boxes.Builder.Concat(-1, (targetCentre - centre) / size, (targetSize / size).Apply("Log"));
    }

    /// <summary>The logit of values in [0, 1], at most that of 1 - 1e-5 in magnitude.</summary>
    public static Value InverseSigmoid(Value values)
    {
        var builder = values.Builder;
        var clipped = values.Clip(0, 1);
        var least = builder.Scalar(1e-5, values);
        return (builder.Op("Max", [clipped, least]) / builder.Op("Max", [1 - clipped, least])).Apply("Log");
    }

    private static (Value First, Value Last) Halves(Value boxes) => (boxes.Slice(-1, 0, 2), boxes.Slice(-1, 2, 4));
}
