using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;

namespace BatchScoring.Scoring;

/// <summary>Finds the column of a pipeline's input that takes the pictures or their paths.</summary>
internal static class ImageColumn
{
    private static readonly string[] UsualNames =
        ["ImagePath", "Path", "ImageFile", "File", "FileName", "ImageSource", "Image", "Photo", "Picture"];

    /// <param name="schema">The input of the pipeline.</param>
    /// <param name="name">The column's name, if the user gave it.</param>
    /// <returns>The schema to feed the pipeline with, and the index of the column in it.</returns>
    public static (DataViewSchema Schema, int Index) Find(DataViewSchema schema, string? name) =>
        name is not null && schema.GetColumnOrNull(name) is null ? AddPictures(schema, name) : (schema, FindPresent(schema, name));

    /// <summary>ML.NET leaves columns of decoded pictures out of the schema that it saves with a pipeline.</summary>
    private static (DataViewSchema Schema, int Index) AddPictures(DataViewSchema schema, string name)
    {
        var extended = new DataViewSchema.Builder();
        extended.AddColumns(schema);
        extended.AddColumn(name, new ImageDataViewType());
        return (extended.ToSchema(), schema.Count);
    }

    private static int FindPresent(DataViewSchema schema, string? name)
    {
        var candidates = schema.Where(column => !column.IsHidden && IsPathOrPicture(column)).ToArray();
        if (name is not null)
        {
            var index = Array.FindIndex(candidates, column => column.Name == name);
            return index >= 0 ? candidates[index].Index
                : throw Wrong($"Column '{name}' of the pipeline's input holds neither paths nor pictures", schema);
        }
        var pictures = candidates.Where(column => column.Type is ImageDataViewType).ToArray();
        if (pictures.Length == 1)
            return pictures[0].Index;
        if (candidates.Length == 1)
            return candidates[0].Index;
        foreach (var usual in UsualNames)
        {
            var index = Array.FindIndex(candidates, column => column.Name.Equals(usual, StringComparison.OrdinalIgnoreCase));
            if (index >= 0)
                return candidates[index].Index;
        }
        throw Wrong("It is not clear which column of the pipeline's input takes the paths; name it with --image-column", schema);
    }

    private static bool IsPathOrPicture(DataViewSchema.Column column) => column.Type is TextDataViewType or ImageDataViewType;

    private static JobException Wrong(string problem, DataViewSchema schema) =>
        new(ExitCode.Usage, $"{problem}; its columns: {string.Join(", ", schema.Select(column => $"'{column.Name}' ({column.Type})"))}.");
}
