using SkiaSharp;

namespace GenerateStory.Drawing;

/// <summary>Draws pictures of characters in situations.</summary>
internal static class PictureDrawing
{
    /// <summary>The side of a picture in the units of the drawings.</summary>
    public const float Side = 128;

    /// <summary>Draws a picture.</summary>
    /// <param name="drawn">What is in it.</param>
    /// <param name="side">Its height and width in pixels.</param>
    public static SKBitmap Draw(DrawnPicture drawn, int side)
    {
        var random = new Random(drawn.Seed);
        var bitmap = new SKBitmap(side, side, SKColorType.Rgba8888, SKAlphaType.Opaque);
        using var canvas = new SKCanvas(bitmap);
        using var pen = new Pen(canvas);
        canvas.Scale(side / Side);
        new SceneDrawing(pen, random).Draw(drawn.Situation.Scene);
        if (drawn.Company == Company.Twins)
        {
            Place(drawn.Situation.Pose, 34, 0.66f);
            Place((Pose)random.Next(5), 94, 0.66f);
        }
        else if (drawn.Company == Company.One)
        {
            Place(drawn.Situation.Pose, 64, 0.96f);
        }
        canvas.Flush();
        return bitmap;

        void Place(Pose pose, float x, float size)
        {
            canvas.Save();
            canvas.Translate(x + (10 * (random.NextSingle() - 0.5f)), 114 + (6 * random.NextSingle()));
            canvas.Scale(size * (0.93f + (0.1f * random.NextSingle())));
            new CharacterDrawing(pen, drawn.Character, pose, drawn.Situation.Prop).Draw();
            canvas.Restore();
        }
    }
}
