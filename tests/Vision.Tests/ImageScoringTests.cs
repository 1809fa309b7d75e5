using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Vision.Tests;

public sealed class ImageScoringTests : IDisposable
{
    private static readonly ImagePreprocessing Preprocessing = new() { Height = 8, Width = 8 };
    private readonly ColourPictures _pictures = new();
    private readonly MLContext _ml = new(seed: 1);

    [Fact]
    public void ClassifiesFilesInBatchesAndKeepsTheirOrder()
    {
        var classifier = _ml.Transforms.ScoreImages(Options(Classifier(TensorElementType.Float))).Fit(Paths());
        string[] names = ["blue.webp", "red.png", "red.png", "green.png", "blue.webp", "green.png", "red.png"];

        Assert.Equal(["blue", "red", "red", "green", "blue", "green", "red"], Predict(classifier, Paths(names)));
    }

    [Fact]
    public void ContentsAndMLImagesGiveWhatPathsGive()
    {
        var model = Classifier(TensorElementType.Float);
        string[] names = ["blue.webp", "red.png", "green.png"];
        var contents = _ml.Data.LoadFromEnumerable(
            names.Select(name => new ContentRow { Image = File.ReadAllBytes(_pictures.PathOf(name)) }));
        var images = _ml.Transforms.LoadImages("Image", _pictures.Folder, "Image").Fit(Paths()).Transform(Paths(names));

        foreach (var data in new[] { contents, images, Paths(names) })
            Assert.Equal(["blue", "red", "green"], Predict(_ml.Transforms.ScoreImages(Options(model)).Fit(data), data));
    }

    [Fact]
    public void HalfPrecisionModelsAreFedHalves()
    {
        var classifier = _ml.Transforms.ScoreImages(Options(Classifier(TensorElementType.Float16), labels: null)).Fit(Paths());
        var row = classifier.Transform(Paths("green.png")).Preview().RowView[0].Values.Single(value => value.Key == "logits");
        Assert.Equal([0, 1, 0], ((VBuffer<float>)row.Value).DenseValues());
    }

    [Fact]
    public void ABadFileStopsScoringOrIsScoredAsMissingAsAskedFor()
    {
        string[] names = ["red.png", "missing.jpg", "broken.png", "green.png", ""];
        var options = Options(Classifier(TensorElementType.Float));
        var strict = _ml.Transforms.ScoreImages(options).Fit(Paths());
        var error = Assert.Throws<InvalidDataException>(() => Predict(strict, Paths(names)));
        Assert.StartsWith("row 1: image column 'Image': '", error.Message);
        Assert.Contains("missing.jpg' is not a decodable image (there is no such file)", error.Message);

        options.Scoring = options.Scoring with { BadInput = BadInput.ScoreAsMissing, ErrorColumnName = "Error" };
        var lenient = (ImageClassificationTransformer)_ml.Transforms.ScoreImages(options).Fit(Paths());
        var scored = _ml.Data.CreateEnumerable<ErrorRow>(lenient.Transform(Paths(names)), reuseRowObject: false).ToArray();
        Assert.Equal([1u, 0u, 0u, 2u, 0u], scored.Select(row => row.PredictedLabel));
        Assert.All(new[] { 1, 2, 4 }, i => Assert.True(float.IsNaN(scored[i].Score![0])));
        Assert.Equal("", scored[0].Error);
        Assert.Contains("broken.png' is not a decodable image", scored[2].Error);
        Assert.Contains("the path is empty", scored[4].Error);
        Assert.Equal(3, lenient.BadRowCount);
    }

    [Fact]
    public void SurvivesSaveAndLoadAndPredictsSingleRows()
    {
        var saved = _ml.Transforms.ScoreImages(Options(Classifier(TensorElementType.Float))).Fit(Paths());
        using var stream = new MemoryStream();
        _ml.Model.Save(saved, Paths().Schema, stream);
        stream.Position = 0;
        var loaded = (ImageClassificationTransformer)new MLContext().Model.Load(stream, out _);

        Assert.Equal(Preprocessing, loaded.Preprocessing);
        Assert.Equal(ColourPictures.Names, loaded.Classes);
        using var engine = new MLContext().Model.CreatePredictionEngine<PathRow, ScoredPath>(loaded);
        var scored = engine.Predict(new() { Image = "blue.webp" });
        Assert.Equal(3u, scored.PredictedLabel);
        Assert.Equal(1, scored.Score!.Sum(), 1e-6);
    }

    [Fact]
    public void ScoresOfAModelThatIsNoClassifierBecomeColumns()
    {
        var scorer = _ml.Transforms.ScoreImages(Options(Classifier(TensorElementType.Float), labels: null)).Fit(Paths());
        using var stream = new MemoryStream();
        _ml.Model.Save(scorer, Paths().Schema, stream);
        stream.Position = 0;
        var loaded = _ml.Model.Load(stream, out _);
        Assert.IsType<ImageScoringTransformer>(loaded);
        Assert.Equal([0f, 0f, 1f], loaded.Transform(Paths("blue.webp")).GetColumn<float[]>("logits").Single());
    }

    [Fact]
    public void MistakesAreNamedWhenFitted()
    {
        Assert.Contains(
            "There is no image column 'Photo'; the data has 'Image'",
            MessageOfFit(options => options.ImageColumnName = "Photo"));
        Assert.Contains(
            "[?, 3, 8, 8]; the preprocessing makes Float [N, 3, 9, 8]",
            MessageOfFit(options => options.Preprocessing = Preprocessing with { Height = 9 }));
        var numbers = _ml.Data.LoadFromEnumerable([new { Image = 1f }]);
        Assert.Contains("Image column 'Image' is of type Single; it must be text", MessageOfFit(_ => { }, numbers));

        string MessageOfFit(Action<ImageScoringEstimator.Options> change, IDataView? data = null)
        {
            var options = Options(Classifier(TensorElementType.Float));
            change(options);
            return Assert.Throws<InvalidOperationException>(() => _ml.Transforms.ScoreImages(options).Fit(data ?? Paths())).Message;
        }
    }

    public void Dispose() => _pictures.Dispose();

    /// <summary>logits = mean of each channel, so that the largest one tells the colour.</summary>
    private static byte[] Classifier(TensorElementType type)
    {
        var graph = new GraphBuilder();
        var x = graph.Input("x", type, Shape.Create(["N", 3, 8, 8]));
        graph.Output("logits", x.ReduceMean([2, 3]));
        return graph.ToModel().ToBytes();
    }

    private ImageScoringEstimator.Options Options(byte[] model) => Options(model, ColourPictures.Names);

    private ImageScoringEstimator.Options Options(byte[] model, string[]? labels) => new()
    {
        Model = model,
        ImageFolder = _pictures.Folder,
        Preprocessing = Preprocessing,
        Labels = labels,
        Scoring = new() { BatchSize = 2, Session = new() { ExecutionProvider = ExecutionProvider.Cpu } },
    };

    private IDataView Paths(params string[] names) => _ml.Data.LoadFromEnumerable(names.Select(name => new PathRow { Image = name }));

    private static string[] Predict(ITransformer classifier, IDataView data) =>
        [.. classifier.Transform(data).GetColumn<uint>("PredictedLabel").Select(key => ColourPictures.Names[key - 1])];

    private sealed class PathRow
    {
        public string Image { get; set; } = "";
    }

    private sealed class ContentRow
    {
        public byte[] Image { get; set; } = [];
    }

    private sealed class ScoredPath
    {
        public uint PredictedLabel { get; set; }

        public float[]? Score { get; set; }
    }

    private sealed class ErrorRow
    {
        public uint PredictedLabel { get; set; }

        public float[]? Score { get; set; }

        public string? Error { get; set; }
    }
}
