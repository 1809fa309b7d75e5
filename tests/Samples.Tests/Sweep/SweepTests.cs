using Microsoft.ML;
using Microsoft.ML.Data;
using SkiaSharp;

namespace Samples.Tests.Sweep;

public sealed class SweepTests : IDisposable
{
    private static readonly string[] Small =
    [
        "--candidates", "2", "--folds", "2", "--first-epochs", "1", "--epochs", "2", "--reduction", "2", "--provider", "cpu",
    ];

    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void TheBestPipelineIsTrainedOnAllPicturesSavedAndScores()
    {
        var pictures = WritePictures(("day", SKColors.LightYellow), ("night", SKColors.MidnightBlue));

        var run = SweepProcess.Run(["--data", _folder["pictures"], "--output", _folder["output"], .. Small]);

        Assert.True(run.ExitCode == 0, run.Output + run.Error);
        var trials = File.ReadAllLines(Path.Combine(_folder["output"], "trials.csv"));
        Assert.StartsWith("candidate,architecture,epochs,accuracy,", trials[0]);
        Assert.Equal(["2", "1", "1"], trials.Skip(1).Select(trial => trial.Split(',')[2]));
        Assert.Equal(3, run.Output.Split('\n').Count(line => line.StartsWith("candidate ", StringComparison.Ordinal)));
        using var plot = SKBitmap.Decode(Path.Combine(_folder["output"], "sweep.png"));
        Assert.Equal(960, plot.Width);

        var context = new MLContext();
        var scored = context.Model.Load(Path.Combine(_folder["output"], "best.zip"), out _)
            .Transform(context.Data.LoadFromEnumerable(pictures));
        var scores = scored.GetColumn<float[]>("Score").ToArray();
        Assert.Equal(pictures.Length, scores.Length);
        Assert.All(scores, score => Assert.Equal(1, score.Sum(), 1e-4));
        Assert.NotEqual(scores[0][0], scores[^1][0]);
        var names = default(VBuffer<ReadOnlyMemory<char>>);
        scored.Schema["PredictedLabel"].GetKeyValues(ref names);
        Assert.Equal(["day", "night"], names.DenseValues().Select(name => name.ToString()).Order());
    }

    [Fact]
    public void TooFewClassesAreAnErrorThatSaysWhatToDo()
    {
        WritePictures(("day", SKColors.LightYellow));

        var run = SweepProcess.Run(["--data", _folder["pictures"], "--output", _folder["output"], .. Small]);

        Assert.Equal(1, run.ExitCode);
        Assert.StartsWith($"Folders with pictures under '{_folder["pictures"]}': 1. ", run.Error);
    }

    [Fact]
    public void ADamagedPictureIsNamed()
    {
        WritePictures(("day", SKColors.LightYellow), ("night", SKColors.MidnightBlue));
        File.WriteAllText(Path.Combine(_folder["pictures"], "night", "broken.png"), "no picture");

        var run = SweepProcess.Run(["--data", _folder["pictures"], "--output", _folder["output"], .. Small]);

        Assert.Equal(1, run.ExitCode);
        Assert.Contains("broken.png", run.Error);
    }

    public void Dispose() => _folder.Dispose();

    private Row[] WritePictures(params (string Label, SKColor Colour)[] classes)
    {
        var rows = new List<Row>();
        foreach (var (label, colour) in classes)
        {
            using var bitmap = new SKBitmap(28, 28);
            bitmap.Erase(colour);
            using var png = bitmap.Encode(SKEncodedImageFormat.Png, 100);
            var folder = Directory.CreateDirectory(Path.Combine(_folder["pictures"], label)).FullName;
            for (var i = 0; i < 12; i++)
            {
                var path = Path.Combine(folder, $"{i}.png");
                File.WriteAllBytes(path, png.ToArray());
                rows.Add(new() { Image = path, Label = label });
            }
        }
        return [.. rows];
    }

    private sealed class Row
    {
        public string Image { get; set; } = "";

        public string Label { get; set; } = "";
    }
}
