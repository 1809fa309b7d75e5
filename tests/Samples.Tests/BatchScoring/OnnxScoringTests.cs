using ParquetSharp;

namespace Samples.Tests.BatchScoring;

public sealed class OnnxScoringTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public OnnxScoringTests()
    {
        ChannelMeans.Build().Save(_folder["means.onnx"]);
        ColourPictures.Write(_folder["pictures"], 7);
        File.WriteAllText(_folder["pictures/x.png"], "not a picture");
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Outputs_AreColumns()
    {
        Run("--mean", "0.5,0,0", "--std", "1,1,0.5");

        using var reader = new ParquetFileReader(_folder["scores/part-00000-of-00001-000000.parquet"]);
        using var group = reader.RowGroup(0);
        using var column = group.Column(3).LogicalReader<float[]?>();
        var means = column.ReadAll(8);
        Assert.Equal([-0.5f, 0, 2], means[0]!);
        Assert.Equal([0.5f, 0, 0], means[2]!);
        Assert.Null(means[7]);
    }

    [Fact]
    public void Labels_MakeItAClassifier()
    {
        File.WriteAllLines(_folder["labels.txt"], ["red", "green", "blue"]);

        Run("--labels", _folder["labels.txt"]);

        var rows = ScoredRow.ReadAll(_folder["scores"]);
        Assert.Equal(["blue", "green", "red", "blue", "green", "red", "blue", null], rows.Select(row => row.PredictedLabel));
        Assert.All(rows[..7], row => Assert.Equal(1, row.Score!.Sum(), 1e-5));
        Assert.Equal("corrupt", rows[7].Status);
        Assert.Contains("x.png", rows[7].Error);
    }

    [Fact]
    public void WrongImageSize_IsExplained()
    {
        var result = BatchScoringProcess.Run([_folder["means.onnx"], _folder["pictures"], _folder["scores"], "--image-size", "9"]);

        Assert.Equal(3, result.ExitCode);
        Assert.Contains("3, 8, 6]", result.Error);
    }

    private void Run(params string[] options)
    {
        var result = BatchScoringProcess.Run([
            _folder["means.onnx"], _folder["pictures"], _folder["scores"], "--preset", "unit", "--image-size", "8x6", "--batch-size", "3",
            .. options]);
        Assert.True(result.ExitCode == 0, result.Error);
    }
}
