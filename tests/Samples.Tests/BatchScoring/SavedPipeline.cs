using Microsoft.ML;
using Microsoft.ML.Data;

namespace Samples.Tests.BatchScoring;

/// <summary>A pipeline of ML.NET's own parts that names the colour of a picture, saved once for all tests.</summary>
public sealed class SavedPipeline : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public SavedPipeline()
    {
        var context = new MLContext(seed: 1);
        var examples = ColourPictures.Write(_folder["pictures"], 30)
            .Select((path, index) => new Example { ImagePath = path, Label = ColourPictures.NameOf(index) });
        var data = context.Data.LoadFromEnumerable(examples);
        var pipeline = context.Transforms.Conversion.MapValueToKey("Key", nameof(Example.Label))
            .Append(context.Transforms.LoadImages("Image", null, nameof(Example.ImagePath)))
            .Append(context.Transforms.ResizeImages("Image", 4, 4))
            .Append(context.Transforms.ExtractPixels("Features", "Image", scaleImage: 1 / 255f))
            .Append(context.MulticlassClassification.Trainers.SdcaMaximumEntropy("Key"))
            .Append(context.Transforms.Conversion.MapKeyToValue("PredictedLabel"));
        context.Model.Save(pipeline.Fit(data), data.Schema, ZipFile);
    }

    public string ZipFile => _folder["colours.zip"];

    public void Dispose() => _folder.Dispose();

    private sealed class Example
    {
        public string ImagePath { get; set; } = "";

        public string Label { get; set; } = "";
    }
}
