using SkiaSharp;

namespace GenerateStory.Drawing;

/// <summary>Draws shapes that have an outline of a darker tone of their own colour.</summary>
internal sealed class Pen(SKCanvas canvas) : IDisposable
{
    private const float Outline = 1.8f;

    private readonly SKPaint _paint = new() { IsAntialias = true, StrokeCap = SKStrokeCap.Round, StrokeJoin = SKStrokeJoin.Round };

    public SKCanvas Canvas => canvas;

    public void Oval(float x, float y, float radiusX, float radiusY, SKColor colour, float degrees = 0, bool outlined = true)
    {
        using var path = new SKPath();
        path.AddOval(new(x - radiusX, y - radiusY, x + radiusX, y + radiusY));
        if (degrees != 0)
            path.Transform(SKMatrix.CreateRotationDegrees(degrees, x, y));
        Shape(path, colour, outlined);
    }

    public void Polygon(SKColor colour, bool outlined, params ReadOnlySpan<(float X, float Y)> corners)
    {
        using var path = new SKPath();
        path.MoveTo(corners[0].X, corners[0].Y);
        foreach (var (x, y) in corners[1..])
            path.LineTo(x, y);
        path.Close();
        Shape(path, colour, outlined);
    }

    public void Shape(SKPath path, SKColor colour, bool outlined = true)
    {
        _paint.Color = colour;
        _paint.Style = SKPaintStyle.Fill;
        canvas.DrawPath(path, _paint);
        if (!outlined)
            return;
        _paint.Color = Darker(colour);
        _paint.Style = SKPaintStyle.Stroke;
        _paint.StrokeWidth = Outline;
        canvas.DrawPath(path, _paint);
    }

    /// <summary>A thick line with round ends.</summary>
    public void Limb((float X, float Y) from, (float X, float Y) to, float width, SKColor colour)
    {
        Line(from, to, width + Outline, Darker(colour));
        Line(from, to, width - Outline, colour);
    }

    public void Line((float X, float Y) from, (float X, float Y) to, float width, SKColor colour)
    {
        _paint.Color = colour;
        _paint.Style = SKPaintStyle.Stroke;
        _paint.StrokeWidth = width;
        canvas.DrawLine(from.X, from.Y, to.X, to.Y, _paint);
    }

    /// <summary>A part of an oval's line, from an angle in degrees clockwise from the right.</summary>
    public void Arc(float x, float y, float radiusX, float radiusY, float start, float sweep, float width, SKColor colour)
    {
        using var path = new SKPath();
        path.AddArc(new(x - radiusX, y - radiusY, x + radiusX, y + radiusY), start, sweep);
        _paint.Color = colour;
        _paint.Style = SKPaintStyle.Stroke;
        _paint.StrokeWidth = width;
        canvas.DrawPath(path, _paint);
    }

    /// <summary>Fills a horizontal strip with a gradient from top to bottom.</summary>
    public void Strip(float top, float bottom, SKColor from, SKColor to)
    {
        using var shader = SKShader.CreateLinearGradient(new(0, top), new(0, bottom), [from, to], SKShaderTileMode.Clamp);
        using var paint = new SKPaint { Shader = shader };
        canvas.DrawRect(new(-PictureDrawing.Side, top, 2 * PictureDrawing.Side, bottom), paint);
    }

    public void Box(float left, float top, float right, float bottom, SKColor colour, bool outlined = true)
    {
        using var path = new SKPath();
        path.AddRoundRect(new(left, top, right, bottom), 1.5f, 1.5f);
        Shape(path, colour, outlined);
    }

    public static SKColor Darker(SKColor colour) => Mix(colour, new(0x24, 0x18, 0x20), 0.45f);

    public static SKColor Lighter(SKColor colour) => Mix(colour, SKColors.White, 0.45f);

    public static SKColor Mix(SKColor one, SKColor other, float share) => new(
        (byte)(one.Red + ((other.Red - one.Red) * share)),
        (byte)(one.Green + ((other.Green - one.Green) * share)),
        (byte)(one.Blue + ((other.Blue - one.Blue) * share)));

    public void Dispose() => _paint.Dispose();
}
