using System.Diagnostics;
using Microsoft.ML.Attention.Vision;
using Samples.Tests.BatchScoring;
using SkiaSharp;

namespace Samples.Tests.SegmentFewShot;

public sealed class SegmentFewShotTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void ItTrainsMeasuresAndDraws()
    {
        var run = Run(
            "--epochs", "1", "--scenes", "32", "--sets", "1", "--queries", "2", "--fold", "3", "--data", "nowhere", "--output", _folder["output"]);

        Assert.True(run.ExitCode == 0, run.Output + run.Error);
        Assert.Contains("new in the test: dress and bag", run.Output);
        Assert.Matches(@"RESULT fold 3 \(dress, bag\), 1 shot, 64 x 64: SCCAN mIoU [01]\.\d{3} FB-IoU [01]\.\d{3}; prototype mIoU ", run.Output);
        Assert.Contains("; 4 episodes; ", run.Output);
        Assert.Equal(64, FewShotSegmentationModel.Load(Path.Combine(_folder["output"], "few-shot.safetensors")).Architecture.ImageSize);
        using var sheet = SKBitmap.Decode(Path.Combine(_folder["output"], "episodes.png"));
        Assert.Equal((5 * 132) - 4, sheet.Width);
        Assert.Equal((2 * 132) - 4, sheet.Height);
        Assert.True(File.Exists(Path.Combine(_folder["output"], "training.png")));
    }

    [Fact]
    public void AFoldThatIsNotThereIsAnError()
    {
        var run = Run("--fold", "5");

        Assert.NotEqual(0, run.ExitCode);
        Assert.Contains("--fold is 5; it must be 0 to 4.", run.Error);
    }

    public void Dispose() => _folder.Dispose();

    private static BatchScoringProcess.Result Run(params IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "SegmentFewShot.dll"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        return BatchScoringProcess.ReadToEnd(process);
    }
}
