using System.Globalization;
using Microsoft.ML.Attention.Onnx;

namespace ModelTool;

/// <summary>The shapes of a model's inputs for one image, or one row of another input.</summary>
internal static class InputShapes
{
    private const int UsualSide = 224;
    private const int MostChannels = 4;

    /// <summary>Closes open axes of images with a size: the given one, that in the model's metadata, or 224 x 224.</summary>
    public static Dictionary<string, Shape> Of(OnnxModel model, ImageSize? size)
    {
        size ??= FromMetadata(model) ?? new(UsualSide, UsualSide);
        var shapes = new Dictionary<string, Shape>(StringComparer.Ordinal);
        foreach (var name in model.Graph.Inputs)
        {
            if (model.Graph.Info(name).Shape is not { Rank: > 0 } shape)
                continue;
            if (!shape[0].IsKnown)
                shape = shape.With(0, 1);
            if (HeightAxis(shape) is { } axis)
                shape = Closed(Closed(shape, axis, size.Height), axis + 1, size.Width);
            shapes[name] = shape;
        }
        return shapes;
    }

    private static ImageSize? FromMetadata(OnnxModel model)
    {
        if (!model.Metadata.TryGetValue("input.size", out var text) || text.Split('x') is not [var height, var width])
            return null;
        return int.TryParse(height, NumberStyles.None, CultureInfo.InvariantCulture, out var rows)
            && int.TryParse(width, NumberStyles.None, CultureInfo.InvariantCulture, out var columns) ? new(rows, columns) : null;
    }

    private static Shape Closed(Shape shape, int axis, int size) => shape[axis].IsKnown ? shape : shape.With(axis, size);

    // Images have four axes, of which that of the channels is short, or at least known: [N, C, H, W] or [N, H, W, C].
    private static int? HeightAxis(Shape shape) =>
        shape.Rank != 4 ? null
        : shape[1].IsKnown || !shape[3].IsKnown || shape[3].Value > MostChannels ? 2
        : 1;
}
