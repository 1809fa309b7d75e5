using Microsoft.ML;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Plots;
using Microsoft.ML.Data;

namespace DetectObjects;

/// <summary>Draws the first pictures with what was found in them.</summary>
internal static class Drawing
{
    private const int PictureCount = 9;
    private const float LeastScore = 0.4f;

    public static void Save(MLContext context, IDataView scored, string path)
    {
        var labels = context.Transforms.Conversion.MapKeyToValue("LabelText", "PredictedLabels").Fit(scored).Transform(scored);
        var pictures = context.Data.CreateEnumerable<Row>(context.Data.TakeRows(labels, PictureCount), reuseRowObject: false)
            .Select(row => (row.Image, (IReadOnlyList<DrawnObject>)[
                .. DrawnObject.From(row.PredictedBoxes, row.LabelText, row.Scores).Where(found => found.Score >= LeastScore),
            ]));
        DetectedObjects.Save([.. pictures], path);
    }

    private sealed class Row
    {
        public string Image { get; set; } = "";

        [VectorType]
        public float[] PredictedBoxes { get; set; } = [];

        [VectorType]
        public float[] Scores { get; set; } = [];

        [VectorType]
        public string[] LabelText { get; set; } = [];
    }
}
