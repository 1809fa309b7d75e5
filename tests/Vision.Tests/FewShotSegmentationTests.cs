using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime;

namespace Vision.Tests;

public sealed class FewShotSegmentationTests : IDisposable
{
    internal static readonly SccanConfig Tiny = new()
    {
        Backbone = new() { Block = ResNetBlock.Basic, Stem = ResNetStem.Deep, Depths = [1, 1, 1, 1], Widths = [8, 12, 16, 16] },
        Stride = 4, IsBackboneFrozen = false, ImageSize = 40, FeatureSize = 8, Width = 16, BlockCount = 2, HeadCount = 2, WindowSize = 4,
    };

    private static readonly WeightSource Weights = BalancedWeights();

    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;
    private readonly MLContext _ml = new(seed: 1);

    [Fact]
    public void MasksHaveThePicturesSizeAndRunsTellTheSame()
    {
        using var segmenter = Segmenter(Support(1, 2));
        var rows = Score(segmenter, Pictures(5));

        Assert.Equal(["class 1", "class 2"], segmenter.Classes);
        foreach (var row in rows)
        {
            Assert.Equal((DrawnObjects.Width, DrawnObjects.Height), (row.PredictedMask!.Width, row.PredictedMask.Height));
            Assert.Equal(Levels(row.PredictedMask), MaskRuns.Decode(row.PredictedRuns, DrawnObjects.Width, DrawnObjects.Height));
        }
        Assert.Contains(rows, row => row.PredictedRuns.Length > 0);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void BatchesGiveWhatTheWholeModelGivesForEachEpisode(int shotCount)
    {
        var (pictures, shots) = (Pictures(3), Pictures(shotCount, firstSeed: 50));
        var support = new SupportSet();
        foreach (var shot in shots)
            support.Add("a", shot.Image, DrawnObjects.Only(shot.Mask, 1));
        using var segmenter = Segmenter(support, batchSize: 2);

        var rows = Score(segmenter, pictures);

        for (var i = 0; i < pictures.Length; i++)
            Assert.Equal(Episode(pictures[i], shots), Levels(rows[i].PredictedMask!));
    }

    [Fact]
    public void ClassesMayDifferInTheNumberOfShotsAndDoNotDisturbEachOther()
    {
        var one = Support(1);
        var two = Support(1).Add("class 1", Pictures(1, 70)[0].Image, DrawnObjects.Only(Pictures(1, 70)[0].Mask, 1));
        var both = Support(2, 1).Add("class 1", Pictures(1, 70)[0].Image, DrawnObjects.Only(Pictures(1, 70)[0].Mask, 1));
        using var ofOne = Segmenter(one);
        using var ofTwo = Segmenter(two);
        using var ofBoth = Segmenter(both);

        var alone = Levels(Score(ofTwo, Pictures(1))[0].PredictedMask!);
        var together = Levels(Score(ofBoth, Pictures(1))[0].PredictedMask!);

        Assert.NotEqual(Levels(Score(ofOne, Pictures(1))[0].PredictedMask!), alone);
        // What class 1, which is number 2 there, labels it labels alone, too.
        Assert.Contains((byte)2, together);
        for (var i = 0; i < alone.Length; i++)
            Assert.True(together[i] != 2 || alone[i] == 1);
    }

    [Fact]
    public void ASavedTransformerKnowsItsSupportSet()
    {
        using var segmenter = Segmenter(Support(1, 2));
        var data = _ml.Data.LoadFromEnumerable(Pictures(3));
        var file = Path.Combine(_folder, "segmenter.zip");
        _ml.Model.Save(segmenter, _ml.Data.LoadFromEnumerable(new[] { new FileRow() }).Schema, file);

        var loaded = (FewShotSegmentationTransformer)new MLContext().Model.Load(file, out _);

        Assert.Equal(segmenter.Classes, loaded.Classes);
        Assert.Equal(Runs(segmenter.Transform(data)), Runs(loaded.Transform(data)));
        loaded.Dispose();
    }

    [Fact]
    public void APredictionEngineGivesTheSame()
    {
        using var segmenter = Segmenter(Support(1));
        var pictures = Pictures(2);
        var expected = Score(segmenter, pictures);
        using var engine = _ml.Model.CreatePredictionEngine<Row, Segmented>(segmenter);

        for (var i = 0; i < pictures.Length; i++)
            Assert.Equal(expected[i].PredictedRuns, engine.Predict(pictures[i]).PredictedRuns);
    }

    [Fact]
    public void ThreadsShareATransformer()
    {
        using var segmenter = Segmenter(Support(1, 2));
        var expected = Score(segmenter, Pictures(4)).Select(row => row.PredictedRuns).ToArray();

        Parallel.For(0, 4, _ => Assert.Equal(expected, Score(segmenter, Pictures(4)).Select(row => row.PredictedRuns)));
    }

    [Fact]
    public void PicturesThatCannotBeReadAreCountedReportedAndHaveNoMask()
    {
        var good = Path.Combine(_folder, "good.png");
        Pictures(1)[0].Image.Save(good);
        var bad = Path.Combine(_folder, "bad.png");
        File.WriteAllText(bad, "no picture");
        var data = _ml.Data.LoadFromEnumerable(new[] { new FileRow { Image = good }, new() { Image = bad }, new() { Image = good } });
        using var segmenter = Segmenter(Support(1), scoring: new()
        {
            BatchSize = 2, BadInput = BadInput.ScoreAsMissing, ErrorColumnName = "Error",
        });

        var scored = segmenter.Transform(data);

        var errors = scored.GetColumn<string>("Error").ToArray();
        Assert.Equal(["", ""], new[] { errors[0], errors[2] });
        Assert.Contains("bad.png", errors[1]);
        var masks = scored.GetColumn<MLImage?>("PredictedMask").ToArray();
        Assert.Equal([false, true, false], masks.Select(mask => mask is null));
        var runs = Runs(scored);
        Assert.Empty(runs[1]);
        Assert.Equal(runs[0], runs[2]);
        // Each of the three columns was read by itself.
        Assert.Equal(3, segmenter.BadRowCount);

        using var strict = Segmenter(Support(1));
        Assert.Contains("bad.png", Assert.ThrowsAny<Exception>(() => Runs(strict.Transform(data))).ToString());
    }

    [Fact]
    public void SupportsThatAreNoGoodAreNamed()
    {
        var (image, mask) = DrawnObjects.Draw(1, 2, seed: 0);
        AssertFails("shot 2 of class 'disc': nothing of the object", new SupportSet()
            .Add("disc", image, DrawnObjects.Only(mask, 1)).Add("disc", image, DrawnObjects.Only(mask, 3)));
        var small = MLImage.CreateFromPixels(1, 1, MLPixelFormat.Rgba32, [255, 255, 255, 255]);
        AssertFails("the picture has 40 x 32 pixels, its mask 1 x 1", new SupportSet().Add("disc", image, small));
        AssertFails("there is no such file", new SupportSet().Add("disc", "nowhere.png", "nowhere.png"));

        void AssertFails(string message, SupportSet support) =>
            Assert.Contains(message, Assert.Throws<InvalidDataException>(() => Segmenter(support)).Message);
    }

    [Fact]
    public void AnEmptySupportSetIsAnError() => Assert.ThrowsAny<Exception>(() => Segmenter(new SupportSet()));

    [Fact]
    public void AModelIsTheSameAfterSaving()
    {
        var file = Path.Combine(_folder, "model.safetensors");
        Model.Save(file);
        var loaded = FewShotSegmentationModel.Load(file);

        Assert.Equal(Tiny.ImageSize, loaded.Architecture.ImageSize);
        Assert.Equal(Tiny.Backbone.Widths, loaded.Architecture.Backbone.Widths);
        using var before = Segmenter(Support(1));
        using var after = Segmenter(Support(1), model: loaded);
        Assert.Equal(before.ToOnnx(), after.ToOnnx());

        File.WriteAllBytes(file, File.ReadAllBytes(file)[..100]);
        Assert.ThrowsAny<Exception>(() => FewShotSegmentationModel.Load(file));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    internal static Row[] Pictures(int count, int firstSeed = 0) => [.. Enumerable.Range(firstSeed, count).Select(seed =>
    {
        var (image, mask) = DrawnObjects.Draw(1, 2, seed);
        return new Row { Image = image, Mask = mask };
    })];

    internal static byte[] Levels(MLImage mask)
    {
        var pixels = mask.Pixels;
        var levels = new byte[mask.Width * mask.Height];
        for (var i = 0; i < levels.Length; i++)
            levels[i] = pixels[4 * i];
        return levels;
    }

    private static FewShotSegmentationModel Model { get; } = new(Tiny, Weights);

    private static SupportSet Support(params int[] labels)
    {
        var support = new SupportSet();
        foreach (var label in labels)
        {
            var (image, mask) = DrawnObjects.Draw(label, 3, seed: 100 + label);
            support.Add($"class {label}", image, DrawnObjects.Only(mask, label));
        }
        return support;
    }

    private FewShotSegmentationTransformer Segmenter(
        SupportSet support, int batchSize = 4, ScoringOptions? scoring = null, FewShotSegmentationModel? model = null) =>
        _ml.Transforms.SegmentFewShot(support, new FewShotSegmentationEstimator.Options
        {
            Model = model ?? Model,
            Scoring = scoring ?? new() { BatchSize = batchSize },
        }).Fit(_ml.Data.LoadFromEnumerable<Row>([]));

    private Segmented[] Score(FewShotSegmentationTransformer segmenter, Row[] pictures)
    {
        var scored = segmenter.Transform(_ml.Data.LoadFromEnumerable(pictures));
        return [.. scored.GetColumn<MLImage>("PredictedMask").Zip(Runs(scored))
            .Select(pair => new Segmented { PredictedMask = pair.First, PredictedRuns = pair.Second })];
    }

    private static int[][] Runs(IDataView scored) => [.. scored.GetColumn<int[]>("PredictedRuns")];

    // Random weights, of which masks cover about half a picture.
    private static WeightSource BalancedWeights()
    {
        const string Bias = "cls_meta.3.bias";
        var random = new RandomWeights(seed: 5);
        var zero = new Checkpoint(new Dictionary<string, Tensor> { [Bias] = Tensor.Create<float>([0, 0], 2) });
        var logits = Logits(random.Replace(name => name == Bias, zero), Pictures(1)[0], Pictures(1, firstSeed: 50));
        var margins = Enumerable.Range(0, logits.Length / 2).Select(i => logits[i + (logits.Length / 2)] - logits[i]).Order().ToArray();
        var bias = new Checkpoint(
            new Dictionary<string, Tensor> { [Bias] = Tensor.Create<float>([margins[margins.Length / 2], 0], 2) });
        return random.Replace(name => name == Bias, bias);
    }

    // The labels that the model of whole episodes gives.
    private static byte[] Episode(Row query, Row[] shots)
    {
        var labels = new byte[DrawnObjects.Width * DrawnObjects.Height];
        LogitMaps.Label(Logits(Weights, query, shots), Tiny.ImageSize, DrawnObjects.Width, DrawnObjects.Height, labels);
        return labels;
    }

    private static float[] Logits(WeightSource weights, Row query, Row[] shots)
    {
        var preprocessing = new SegmentationPreprocessing(Tiny.ImageSize);
        var size = Tiny.ImageSize;
        using var pixels = new PixelBuffer();
        var (x, support, mask) = (
            new float[3 * size * size], new float[shots.Length * 3 * size * size], new byte[shots.Length * size * size]);
        MLImagePixels.Copy(query.Image, pixels);
        preprocessing.Write(pixels.View, x);
        for (var i = 0; i < shots.Length; i++)
        {
            MLImagePixels.Copy(shots[i].Image, pixels);
            preprocessing.Write(pixels.View, support.AsSpan(i * x.Length, x.Length));
            MLImagePixels.Copy(DrawnObjects.Only(shots[i].Mask, 1), pixels);
            preprocessing.Write(LabelMap.FromMask(pixels.View), mask.AsSpan(i * size * size, size * size));
        }
        var model = Sccan.Build(Tiny with { ShotCount = shots.Length }, weights);
        using var session = new InferenceSession(model.ToBytes());
        using var options = new RunOptions();
        using var first = OrtValue.CreateTensorValueFromMemory(x, [1, 3, size, size]);
        using var second = OrtValue.CreateTensorValueFromMemory(support, [1, shots.Length, 3, size, size]);
        using var third = OrtValue.CreateTensorValueFromMemory(mask, [1, shots.Length, size, size]);
        using var results = session.Run(options, ["x", "support", "mask"], [first, second, third], ["logits"]);
        return results[0].GetTensorDataAsSpan<float>().ToArray();
    }

    internal sealed class Row
    {
        public MLImage Image { get; set; } = null!;

        public MLImage Mask { get; set; } = null!;
    }

    private sealed class FileRow
    {
        public string Image { get; set; } = "";
    }

    private sealed class Segmented
    {
        public MLImage? PredictedMask { get; set; }

        public int[] PredictedRuns { get; set; } = [];
    }
}
