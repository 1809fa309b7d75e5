using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.ML.Runtime;

namespace Vision.Tests;

public sealed class PictureBatchesTests : IDisposable
{
    private static readonly ImagePreprocessing Preprocessing = new() { Height = 4, Width = 4 };
    private readonly ColourPictures _pictures = new();
    private readonly MLContext _ml = new(seed: 1);

    [Fact]
    public void AnEpochGivesEachPictureOnceWithItsLabelInANewOrder()
    {
        var batches = Batches(Read(Rows(12)), batchSize: 4);
        var orders = new List<string>();
        for (var epoch = 1; epoch <= 2; epoch++)
        {
            var labels = new List<long>();
            foreach (var batch in batches.Epoch(epoch, 0, CancellationToken.None))
            {
                for (var i = 0; i < 4; i++)
                {
                    var (red, green, blue) = (batch.Picture(i)[0], batch.Picture(i)[16], batch.Picture(i)[32]);
                    var expected = batch.Labels[i] switch { 0 => (1f, 0f, 0f), 1 => (0f, 1f, 0f), _ => (0f, 0f, 1f) };
                    Assert.Equal(expected, (red, green, blue));
                }
                labels.AddRange(batch.Labels);
            }
            Assert.Equal([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], labels.Order());
            orders.Add(string.Concat(labels));
        }
        Assert.NotEqual(orders[0], orders[1]);
        var again = Batches(Read(Rows(12)), 4).Epoch(1, 0, CancellationToken.None).SelectMany(batch => batch.Labels.ToArray());
        Assert.Equal(orders[0], string.Concat(again));
    }

    [Fact]
    public void WhatDoesNotFillABatchSitsAnEpochOut()
    {
        var batches = Batches(Read(Rows(11)), batchSize: 4);
        Assert.Equal(2, batches.Count);
        Assert.Equal(2, batches.Epoch(1, 0, CancellationToken.None).Count());
    }

    [Fact]
    public void ABadPictureIsNamedWithItsRow()
    {
        var rows = Rows(6);
        rows[3].Image = "broken.png";
        var error = Assert.Throws<InvalidDataException>(() => Batches(Read(rows), 3).Epoch(1, 0, CancellationToken.None).Count());
        Assert.StartsWith("row 3: image column 'Image': '", error.Message);
    }

    [Fact]
    public void AnEpochCanBeCancelledAndLeft()
    {
        using var cancellation = new CancellationTokenSource();
        var batches = Batches(Read(Rows(12)), 2);
        Assert.NotNull(batches.Epoch(1, 0, cancellation.Token).First());
        cancellation.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() => batches.Epoch(1, 0, cancellation.Token).Count());
    }

    [Fact]
    public void RowsWithoutALabelAreLeftOutWithAWarning()
    {
        var warnings = new List<string>();
        _ml.Log += (_, message) => warnings.AddRange(message.Kind == ChannelMessageKind.Warning ? [message.Message] : []);
        var rows = Rows(6);
        rows[2].Label = 9;
        Assert.Equal(5, Read(rows).Count);
        Assert.Contains("1 of 6 rows have no label in column 'Label'", Assert.Single(warnings));
    }

    [Fact]
    public void SplittingTakesTheShareOfEachClass()
    {
        var samples = Read(Rows(30));
        var split = samples.SplitOff(0.2, seed: 3);
        Assert.Equal((24, 6), (samples.Count, split.Count));
        Assert.Equal([0, 0, 1, 1, 2, 2], split.Labels.Order());
    }

    [Fact]
    public void MLImagesAreKeptWhenTheirRowIsGone()
    {
        var images = _ml.Transforms.LoadImages("Image", _pictures.Folder, "Image").Fit(Data(Rows(6))).Transform(Data(Rows(6)));
        var samples = Read(images, folder: null);
        using var pixels = new PixelBuffer();
        for (var i = 0; i < 6; i++)
        {
            samples.Decode(i, pixels);
            Assert.Equal(255, pixels.View.Row(0)[samples.Label(i)]);
        }
    }

    [Fact]
    public void ALabelBeyondTheClassesIsNamedWithItsRow()
    {
        var error = Assert.Throws<InvalidDataException>(() => Read(Data(Rows(6)), _pictures.Folder, classCount: 2));
        Assert.Contains("row 2: label column 'Label' has key 3, but the training labels have 2 keys", error.Message);
    }

    [Fact]
    public void AnEpochGoesOnFromAnyBatch()
    {
        static string Text(PictureBatch batch) => string.Join(' ', batch.Labels) + string.Join(' ', batch.Pixels);
        var whole = Batches(Read(Rows(12)), 4).Epoch(2, 0, CancellationToken.None).Select(Text).ToArray();
        Assert.Equal(whole[1..], Batches(Read(Rows(12)), 4).Epoch(2, 1, CancellationToken.None).Select(Text));
    }

    [Fact]
    public void PicturesThatAreKeptAreThoseThatAreDecoded()
    {
        var samples = Read(Rows(6));
        var bytes = Preprocessing.Width * Preprocessing.Height * PixelView.BytesPerPixel;
        var cache = new PictureCache(samples, Preprocessing, new PictureMemory(4 * bytes));
        var before = All();
        Array.ForEach(ColourPictures.Files, name => File.Move(_pictures.PathOf(name), _pictures.PathOf(name + ".gone")));
        using var pixels = new PixelBuffer();
        Assert.Equal(before[..4], Enumerable.Range(0, 4).Select(i => Convert.ToHexString(cache.Get(i, pixels).Row(1))));
        Assert.Throws<InvalidDataException>(() => cache.Get(4, pixels).Width);

        string[] All()
        {
            using var pixels = new PixelBuffer();
            return [.. Enumerable.Range(0, 6).Select(i => Convert.ToHexString(cache.Get(i, pixels).Row(1)))];
        }
    }

    [Fact]
    public void ValidationMeasuresWhatMLNetsEvaluationDoes()
    {
        // Two red pictures have the wrong label; green and blue are always right.
        var rows = Rows(7);
        (rows[0].Label, rows[3].Label) = (2, 2);
        var graph = new GraphBuilder();
        graph.Output("logits", graph.Input("x", TensorElementType.Float, Shape.Create(["N", 3, 4, 4])).ReduceMean([2, 3]));
        using var session = OnnxSession.Open(
            _ml, new ModelContent(graph.ToModel().ToBytes()), new OnnxSessionOptions { ExecutionProvider = ExecutionProvider.Cpu });

        var cache = new PictureCache(Read(rows), Preprocessing, new PictureMemory(0));
        var metrics = ValidationMetrics.Measure(session, cache, Preprocessing, batchSize: 3, CancellationToken.None);

        Assert.Equal(5 / 7.0, metrics.Accuracy, 12);
        Assert.Equal((1 / 1.0 + 2 / 2.0 + 2 / 4.0) / 3, metrics.MacroAccuracy, 12);
        var (right, wrong) = (Math.Log(Math.E + 2) - 1, Math.Log(Math.E + 2));
        Assert.Equal((5 * right + 2 * wrong) / 7, metrics.LogLoss, 6);
    }

    public void Dispose() => _pictures.Dispose();

    private static Row[] Rows(int count) => [.. Enumerable.Range(0, count).Select(i => new Row
    {
        Image = ((string[])["red.png", "green.png", "blue.webp"])[i % 3],
        Label = (uint)(i % 3),
    })];

    private static PictureBatches Batches(LabelledPictures samples, int batchSize) =>
        new(new(samples, null, new PictureMemory(0)), Preprocessing, ImageAugmentation.Flip, mixing: null,
            new Targets([1, 1, 1], labelSmoothing: 0), batchSize, seed: 5);

    private IDataView Data(Row[] rows) => _ml.Data.LoadFromEnumerable(rows);

    private LabelledPictures Read(Row[] rows) => Read(Data(rows), _pictures.Folder);

    private LabelledPictures Read(IDataView data, string? folder, int classCount = 3)
    {
        using var channel = ((IChannelProvider)_ml).Start("test");
        return LabelledPictures.Read(data, new PictureColumn(data.Schema, "Image", folder), "Label", classCount, channel, CancellationToken.None);
    }

    private sealed class Row
    {
        public string Image { get; set; } = "";

        // From 0 here, though a key is from 1 inside ML.NET: values beyond the count are missing.
        [KeyType(3)]
        public uint Label { get; set; }
    }
}
