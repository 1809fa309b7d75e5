using Microsoft.ML;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;

namespace Samples.Tests.BatchScoring;

public sealed class PictureColumnTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>The pictures' column is not in the saved schema; columns that are hold defaults.</summary>
    [Fact]
    public void PipelineOnDecodedPictures_IsFedFromFiles()
    {
        ColourPictures.Write(_folder["pictures"], 9);
        var context = new MLContext(seed: 1);
        var data = context.Data.LoadFromEnumerable(Array.Empty<Example>());
        var pipeline = context.Transforms.ScoreImages(new ImageScoringEstimator.Options
        {
            Model = ChannelMeans.Build().ToBytes(),
            ImageColumnName = nameof(Example.Photo),
            Preprocessing = new ImagePreprocessing { Height = 8, Width = 6 },
            Labels = ["red", "green", "blue"],
        }).Append(context.Transforms.Concatenate("Both", "Score", nameof(Example.Extra)));
        context.Model.Save(pipeline.Fit(data), data.Schema, _folder["photos.zip"]);
        string[] arguments = [_folder["photos.zip"], _folder["pictures"], _folder["scores"], "--columns", "PredictedLabel,Score,Both"];

        var unnamed = BatchScoringProcess.Run(arguments);
        var named = BatchScoringProcess.Run([.. arguments, "--image-column", nameof(Example.Photo)]);

        Assert.Equal(2, unnamed.ExitCode);
        Assert.Contains("--image-column", unnamed.Error);
        Assert.True(named.ExitCode == 0, named.Error);
        var labels = ScoredRow.ReadAll(_folder["scores"]).Select(row => row.PredictedLabel);
        Assert.Equal(Enumerable.Range(0, 9).Select(ColourPictures.NameOf), labels);
    }

    private sealed class Example
    {
        [ImageType(10, 12)]
        public MLImage? Photo { get; set; }

        [VectorType(3)]
        public float[] Extra { get; set; } = [];
    }
}
