using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Where a model's pictures come from and how they become its input. Saved with the model.</summary>
/// <param name="ColumnName">The column of pictures.</param>
/// <param name="Folder">What paths in the column are relative to; null for the current folder.</param>
/// <param name="Preprocessing">How pictures become numbers.</param>
internal sealed record ImageSource(string ColumnName, string? Folder, ImagePreprocessing Preprocessing)
{
    public PictureColumn Bind(DataViewSchema schema) => new(schema, ColumnName, Folder);

    /// <summary>Feeds the only input of a model.</summary>
    public TensorInput[] BindInput(OnnxSession session, DataViewSchema schema)
    {
        if (session.Inputs.Count != 1)
        {
            throw new InvalidOperationException($"An image model has one input; this one has {session.Inputs.Count}: "
                + $"{string.Join(", ", session.Inputs.Keys.Select(name => $"'{name}'"))}.");
        }
        return [new ImageInput(session.Inputs.Values.Single(), Bind(schema), Preprocessing)];
    }

    public void Check(IExceptionContext host, SchemaShape schema)
    {
        if (!schema.TryFindColumn(ColumnName, out var column))
            throw host.ExceptSchemaMismatch(nameof(schema), "image", ColumnName);
        var isContent = column.Kind != SchemaShape.Column.VectorKind.Scalar && column.ItemType.RawType == typeof(byte);
        if (!isContent && (column.Kind != SchemaShape.Column.VectorKind.Scalar || !PictureColumn.HoldsPictures(column.ItemType)))
        {
            throw host.ExceptSchemaMismatch(
                nameof(schema), "image", ColumnName, "text (paths), vector of Byte (contents) or MLImage", column.GetTypeString());
        }
    }

    public void Save(ModelSaveContext context)
    {
        context.SaveNonEmptyString(ColumnName);
        context.SaveStringOrNull(Folder);
        Preprocessing.Save(context.Writer);
    }

    public static ImageSource Load(ModelLoadContext context) =>
        new(context.LoadNonEmptyString(), context.LoadStringOrNull(), ImagePreprocessing.Load(context.Reader));
}
