using SkiaSharp;

namespace SegmentFewShot;

/// <summary>
/// Draws backgrounds with the statistics of photographs, in place of photographs: things of all sizes that hide each other ("dead leaves",
/// whose sizes fall off with the third power), each with shade and grain of its own, in light that comes from one side.
/// </summary>
internal static class Background
{
    private const float LeastSize = 3;

    public static void Draw(SKCanvas canvas, int size, Random random)
    {
        canvas.Clear(Colour(random));
        for (var i = 0; i < 90; i++)
            DrawLeaf(canvas, size, random);
        using var grain = SKShader.CreatePerlinNoiseFractalNoise(
            0.02f + (0.15f * random.NextSingle()), 0.02f + (0.15f * random.NextSingle()), 4, random.Next(1000));
        using var texture = new SKPaint { Shader = grain, BlendMode = SKBlendMode.SoftLight };
        canvas.DrawPaint(texture);
    }

    /// <summary>Light over the whole scene, garments included.</summary>
    public static void Light(SKCanvas canvas, int size, Random random)
    {
        var (from, to) = (Place(size, random), Place(size, random));
        var (bright, dark) = ((byte)(140 + random.Next(100)), (byte)(20 + random.Next(90)));
        using var light = SKShader.CreateLinearGradient(
            from, to, [new(bright, bright, bright), new(dark, dark, dark)], SKShaderTileMode.Clamp);
        using var paint = new SKPaint { Shader = light, BlendMode = SKBlendMode.SoftLight };
        canvas.DrawPaint(paint);
    }

    private static void DrawLeaf(SKCanvas canvas, int size, Random random)
    {
        // Inverse of the distribution of sizes between the least and the scene's.
        var (least, most) = (1 / (LeastSize * LeastSize), 1 / (float)(size * size));
        var radius = 1 / MathF.Sqrt(least - ((least - most) * MathF.Pow(random.NextSingle(), 0.35f)));
        var place = Place(size, random);
        using var shade = SKShader.CreateLinearGradient(
            place - new SKPoint(radius, radius), place + new SKPoint(radius, radius), [Colour(random), Colour(random)],
            SKShaderTileMode.Clamp);
        using var paint = new SKPaint { Shader = shade, IsAntialias = true };
        canvas.Save();
        canvas.RotateDegrees(random.Next(360), place.X, place.Y);
        var width = radius * (0.4f + random.NextSingle());
        switch (random.Next(3))
        {
            case 0: canvas.DrawOval(place, new(width, radius), paint); break;
            case 1: canvas.DrawRoundRect(SKRect.Create(place.X - width, place.Y - radius, 2 * width, 2 * radius), 3, 3, paint); break;
            default: canvas.DrawPath(Patch(place, radius, random), paint); break;
        }
        canvas.Restore();
    }

    private static SKPath Patch(SKPoint place, float radius, Random random)
    {
        var path = new SKPath();
        path.AddPoly([.. Enumerable.Range(0, 5 + random.Next(5)).Select(i =>
        {
            var (sine, cosine) = MathF.SinCos(i);
            return place + new SKPoint(radius * cosine * (0.5f + random.NextSingle()), radius * sine * (0.5f + random.NextSingle()));
        })]);
        return path;
    }

    private static SKPoint Place(int size, Random random) => new(random.Next(size), random.Next(size));

    private static SKColor Colour(Random random) => SKColor.FromHsv(random.Next(360), random.Next(80), 15 + random.Next(80));
}
