using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Where the pictures to segment come from, and what columns are added. Saved with the model.</summary>
/// <param name="ImageColumnName">The column of pictures.</param>
/// <param name="Folder">What paths in the column are relative to; null for the current folder.</param>
/// <param name="Columns">The columns to add.</param>
internal sealed record SegmentationSource(string ImageColumnName, string? Folder, SegmentationColumns Columns)
{
    public PictureColumn Bind(DataViewSchema schema) => new(schema, ImageColumnName, Folder);

    public void Check(IExceptionContext host, SchemaShape schema) =>
        new ImageSource(ImageColumnName, Folder, ImagePreprocessing.ImageNet()).Check(host, schema);

    public void Save(ModelSaveContext context)
    {
        context.SaveNonEmptyString(ImageColumnName);
        context.SaveStringOrNull(Folder);
        Columns.Save(context);
    }

    public static SegmentationSource Load(ModelLoadContext context) =>
        new(context.LoadNonEmptyString(), context.LoadStringOrNull(), SegmentationColumns.Load(context));
}
