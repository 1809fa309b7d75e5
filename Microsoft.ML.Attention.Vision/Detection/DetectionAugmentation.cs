using System.Drawing;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Random changes of the pictures that a detector is trained on, and of the boxes in them.</summary>
public sealed record DetectionAugmentation
{
    /// <summary>The probability of mirroring left and right.</summary>
    public float HorizontalFlip { get; init; } = 0.5f;

    /// <summary>The probability of mirroring top and bottom, for pictures without an upside such as those of a microscope.</summary>
    public float VerticalFlip { get; init; }

    /// <summary>The probability of cutting out a part before the picture is resized.</summary>
    public float Crop { get; init; } = 0.5f;

    /// <summary>The least share of each side that is cut out, in (0, 1].</summary>
    public float LeastCrop { get; init; } = 0.6f;

    /// <summary>The least size, as a share of the largest that fits, in (0, 1].</summary>
    public float LeastScale { get; init; } = 0.7f;

    /// <summary>By how much brightness and contrast change at most, in [0, 1).</summary>
    public float Light { get; init; } = 0.2f;

    internal void Validate()
    {
        Check(HorizontalFlip is >= 0 and <= 1, nameof(HorizontalFlip), HorizontalFlip, "in [0, 1]");
        Check(VerticalFlip is >= 0 and <= 1, nameof(VerticalFlip), VerticalFlip, "in [0, 1]");
        Check(Crop is >= 0 and <= 1, nameof(Crop), Crop, "in [0, 1]");
        Check(LeastCrop is > 0 and <= 1, nameof(LeastCrop), LeastCrop, "in (0, 1]");
        Check(LeastScale is > 0 and <= 1, nameof(LeastScale), LeastScale, "in (0, 1]");
        Check(Light is >= 0 and < 1, nameof(Light), Light, "in [0, 1)");

        static void Check(bool valid, string name, float value, string expected)
        {
            if (!valid)
                throw new ArgumentException($"{nameof(DetectionAugmentation)}.{name} is {value}; it must be {expected}.");
        }
    }

    /// <summary>Draws how a picture is placed in an area.</summary>
    internal DetectionPlacement Draw(SampleRandom random, Size picture, Size area)
    {
        var window = new Rectangle(Point.Empty, picture);
        if (random.NextDouble() < Crop)
        {
            var (width, height) = (Part(picture.Width), Part(picture.Height));
            window = new(Within(picture.Width - width), Within(picture.Height - height), width, height);
        }
        var fit = Math.Min((double)area.Width / window.Width, (double)area.Height / window.Height);
        var scale = fit * (LeastScale + (random.NextDouble() * (1 - LeastScale)));
        var size = new Size(Scaled(window.Width, area.Width), Scaled(window.Height, area.Height));
        return new(
            window, size, random.NextDouble() < HorizontalFlip, random.NextDouble() < VerticalFlip,
            (float)(1 + (((2 * random.NextDouble()) - 1) * Light)), (float)(((2 * random.NextDouble()) - 1) * Light));

        int Part(int side) => Math.Max(1, (int)(side * (LeastCrop + (random.NextDouble() * (1 - LeastCrop)))));

        int Within(int room) => (int)(random.NextDouble() * (room + 1));

        int Scaled(int side, int most) => Math.Clamp((int)Math.Round(side * scale), 1, most);
    }
}

/// <summary>How a picture is placed in the upper left corner of an area.</summary>
/// <param name="Window">The part of the picture that is shown.</param>
/// <param name="Size">The size that the part is given.</param>
/// <param name="IsMirrored">Whether left and right change sides.</param>
/// <param name="IsUpsideDown">Whether top and bottom change sides.</param>
/// <param name="Contrast">A factor on the normalised values.</param>
/// <param name="Brightness">Added to them after that.</param>
internal sealed record DetectionPlacement(
    Rectangle Window, Size Size, bool IsMirrored, bool IsUpsideDown, float Contrast, float Brightness)
{
    /// <summary>Where a box of the picture comes to lie; null where no more than a pixel of it is left.</summary>
    public CornerBox? Place(CornerBox box)
    {
        var (x, y) = ((float)Size.Width / Window.Width, (float)Size.Height / Window.Height);
        var (left, right) = (Side(box.Left, Window.X, x, Size.Width), Side(box.Right, Window.X, x, Size.Width));
        var (top, bottom) = (Side(box.Top, Window.Y, y, Size.Height), Side(box.Bottom, Window.Y, y, Size.Height));
        if (IsMirrored)
            (left, right) = (Size.Width - right, Size.Width - left);
        if (IsUpsideDown)
            (top, bottom) = (Size.Height - bottom, Size.Height - top);
        var placed = new CornerBox(left, top, right, bottom);
        return right > left && bottom > top && placed.Area > 1 ? placed : null;

        static float Side(float side, int start, float scale, int end) => Math.Clamp((side - start) * scale, 0, end);
    }
}
