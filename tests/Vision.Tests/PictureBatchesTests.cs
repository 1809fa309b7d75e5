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
            foreach (var batch in batches.Epoch(epoch, CancellationToken.None))
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
        var again = Batches(Read(Rows(12)), 4).Epoch(1, CancellationToken.None).SelectMany(batch => batch.Labels.ToArray());
        Assert.Equal(orders[0], string.Concat(again));
    }

    [Fact]
    public void WhatDoesNotFillABatchSitsAnEpochOut()
    {
        var batches = Batches(Read(Rows(11)), batchSize: 4);
        Assert.Equal(2, batches.Count);
        Assert.Equal(2, batches.Epoch(1, CancellationToken.None).Count());
    }

    [Fact]
    public void ABadPictureIsNamedWithItsRow()
    {
        var rows = Rows(6);
        rows[3].Image = "broken.png";
        var error = Assert.Throws<InvalidDataException>(() => Batches(Read(rows), 3).Epoch(1, CancellationToken.None).Count());
        Assert.StartsWith("row 3: image column 'Image': '", error.Message);
    }

    [Fact]
    public void AnEpochCanBeCancelledAndLeft()
    {
        using var cancellation = new CancellationTokenSource();
        var batches = Batches(Read(Rows(12)), 2);
        Assert.NotNull(batches.Epoch(1, cancellation.Token).First());
        cancellation.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() => batches.Epoch(1, cancellation.Token).Count());
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
        using var pixels = new PixelBuffer();
        Assert.Equal([0, 0, 1, 1, 2, 2], Enumerable.Range(0, 6).Select(i => split.Decode(i, pixels)).Order());
    }

    [Fact]
    public void MLImagesAreKeptWhenTheirRowIsGone()
    {
        var images = _ml.Transforms.LoadImages("Image", _pictures.Folder, "Image").Fit(Data(Rows(6))).Transform(Data(Rows(6)));
        var samples = Read(images, folder: null);
        using var pixels = new PixelBuffer();
        for (var i = 0; i < 6; i++)
        {
            var label = samples.Decode(i, pixels);
            Assert.Equal(255, pixels.View.Row(0)[label]);
        }
    }

    [Fact]
    public void AccuracyIsTheShareOfRightAnswers()
    {
        var rows = Rows(7);
        (rows[0].Label, rows[4].Label) = (2, 2);
        var graph = new GraphBuilder();
        graph.Output("logits", graph.Input("x", TensorElementType.Float, Shape.Create(["N", 3, 4, 4])).ReduceMean([2, 3]));
        using var session = OnnxSession.Open(
            _ml, new ModelContent(graph.ToModel().ToBytes()), new OnnxSessionOptions { ExecutionProvider = ExecutionProvider.Cpu });
        Assert.Equal(5 / 7.0, Accuracy.Measure(session, Read(rows), Preprocessing, batchSize: 3, CancellationToken.None));
    }

    public void Dispose() => _pictures.Dispose();

    private static Row[] Rows(int count) => [.. Enumerable.Range(0, count).Select(i => new Row
    {
        Image = ((string[])["red.png", "green.png", "blue.webp"])[i % 3],
        Label = (uint)(i % 3),
    })];

    private static PictureBatches Batches(LabelledPictures samples, int batchSize) =>
        new(samples, Preprocessing, ImageAugmentation.Flip, batchSize, seed: 5);

    private IDataView Data(Row[] rows) => _ml.Data.LoadFromEnumerable(rows);

    private LabelledPictures Read(Row[] rows) => Read(Data(rows), _pictures.Folder);

    private LabelledPictures Read(IDataView data, string? folder)
    {
        using var channel = ((IChannelProvider)_ml).Start("test");
        return LabelledPictures.Read(data, new PictureColumn(data.Schema, "Image", folder), "Label", channel, CancellationToken.None);
    }

    private sealed class Row
    {
        public string Image { get; set; } = "";

        // From 0 here, though a key is from 1 inside ML.NET: values beyond the count are missing.
        [KeyType(3)]
        public uint Label { get; set; }
    }
}
