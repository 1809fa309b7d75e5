using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Where a detector's pictures come from, how they become its input, and what is made of its output. Saved with the model.
/// </summary>
/// <param name="ImageColumnName">The column of pictures.</param>
/// <param name="Folder">What paths in the column are relative to; null for the current folder.</param>
/// <param name="Preprocessing">How pictures become numbers.</param>
/// <param name="Columns">The columns to add.</param>
/// <param name="LeastScore">Detections of lower scores are left out.</param>
internal sealed record DetectionSource(
    string ImageColumnName, string? Folder, DetectionPreprocessing Preprocessing, DetectionColumns Columns, float LeastScore)
{
    public void Check(IExceptionContext host, SchemaShape schema) =>
        new ImageSource(ImageColumnName, Folder, ImagePreprocessing.ImageNet()).Check(host, schema);

    public void Save(ModelSaveContext context)
    {
        context.SaveNonEmptyString(ImageColumnName);
        context.SaveStringOrNull(Folder);
        Preprocessing.Save(context.Writer);
        Columns.Save(context);
        context.Writer.Write(LeastScore);
    }

    public static DetectionSource Load(ModelLoadContext context) => new(
        context.LoadNonEmptyString(), context.LoadStringOrNull(), DetectionPreprocessing.Load(context.Reader),
        DetectionColumns.Load(context), context.Reader.ReadSingle());
}
