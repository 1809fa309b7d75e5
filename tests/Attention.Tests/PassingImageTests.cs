using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Tests;

public sealed class PassingImageTests : IDisposable
{
    private readonly MLContext _ml = new(seed: 1);
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public PassingImageTests() => OwnedValues.Register<MLImage>(
        image => MLImage.CreateFromPixels(image.Width, image.Height, image.PixelFormat, image.Pixels));

    [Fact]
    public void ImagesPassWithTheRightRowAndBelongToWhoReadsThem()
    {
        var rows = Enumerable.Range(0, 20).Select(i => new ImageRow { Name = $"{i}.png", X = [i, i, i, i] }).ToList();
        for (int i = 0; i < rows.Count; i++)
        {
            // The width tells which picture it is.
            using var image = MLImage.CreateFromPixels(i + 1, 2, MLPixelFormat.Bgra32, new byte[(i + 1) * 2 * 4]);
            image.Save(Path.Combine(_folder, rows[i].Name));
        }
        var source = _ml.Data.LoadFromEnumerable(rows);
        var data = _ml.Transforms.LoadImages("Image", _folder, "Name").Fit(source).Transform(source);
        using var transformer = _ml.Transforms.ScoreOnnx(new OnnxBatchScoringEstimator.Options
        {
            Model = TestModels.DoubleAndSum("N", 4),
            Scoring = new() { BatchSize = 6 },
        }).Fit(data);
        var scored = transformer.Transform(data);
        var images = new List<MLImage>();
        using var cursor = scored.GetRowCursor([scored.Schema["Image"], scored.Schema["sum"]]);
        var imageGetter = cursor.GetGetter<MLImage>(scored.Schema["Image"]);
        var sumGetter = cursor.GetGetter<float>(scored.Schema["sum"]);
        while (cursor.MoveNext())
        {
            MLImage? image = null;
            float sum = 0;
            imageGetter(ref image!);
            sumGetter(ref sum);
            Assert.Equal(4 * images.Count, sum);
            images.Add(image);
        }
        Assert.Equal(Enumerable.Range(1, 20), images.Select(image => image.Width));
        images.ForEach(image => image.Dispose());
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private sealed class ImageRow
    {
        public string Name { get; set; } = "";

        [VectorType(4)]
        [ColumnName("x")]
        public float[] X { get; set; } = [];
    }
}
