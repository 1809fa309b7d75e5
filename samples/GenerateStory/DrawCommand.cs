using System.CommandLine;
using GenerateStory.Drawing;
using SkiaSharp;

namespace GenerateStory;

/// <summary><c>GenerateStory draw</c>: shows what the model is trained on.</summary>
internal static class DrawCommand
{
    private const int Columns = 8, Rows = 5, Side = 192;

    public static Command Create()
    {
        var output = new Option<string>("--output")
        {
            Description = "The PNG to write.",
            DefaultValueFactory = _ => Path.Combine("artifacts", "GenerateStory", "drawings.png"),
        };
        var seed = new Option<int>("--seed") { Description = "The number of the first picture." };
        var command = new Command("draw", "Draws a sheet of training pictures and says their captions.") { output, seed };
        command.SetAction(arguments => Draw(arguments.GetValue(output)!, arguments.GetValue(seed)));
        return command;
    }

    private static void Draw(string path, int seed)
    {
        using var sheet = new SKBitmap(Columns * Side, Rows * Side);
        using var canvas = new SKCanvas(sheet);
        for (var i = 0; i < Columns * Rows; i++)
        {
            var drawn = DrawnPicture.Next(seed + i, isHeldBack: false);
            using var picture = PictureDrawing.Draw(drawn, Side);
            canvas.DrawBitmap(picture, i % Columns * Side, i / Columns * Side);
            Console.WriteLine(Caption.Of(drawn, new Random(drawn.Seed)));
        }
        canvas.Flush();
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        using var file = File.Create(path);
        sheet.Encode(file, SKEncodedImageFormat.Png, quality: 100);
        Console.WriteLine($"drawn in {path}");
    }
}
