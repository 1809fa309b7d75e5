using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>The columns that stories are read from and written to.</summary>
public sealed record StoryColumns
{
    /// <summary>The text column of lines, one a picture: see <see cref="StoryGenerator.Generate"/>.</summary>
    public string Prompt { get; init; } = "Prompt";

    /// <summary>
    /// The text column that says which story a row belongs to, and where a story's rows need not follow each other; null where all rows are
    /// one story.
    /// </summary>
    public string? Story { get; init; }

    /// <summary>
    /// The text column of characters: what it says in the rows of a story, each text once, describes the story's characters; null where
    /// all stories have the same.
    /// </summary>
    public string? Characters { get; init; }

    /// <summary>The column of pictures to add; a row that failed has none.</summary>
    public string Picture { get; init; } = "Picture";

    /// <summary>The text column of captions to add.</summary>
    public string Caption { get; init; } = "Caption";

    /// <summary>The column of pages to add: the first page of a story is in its first row, the second one in its second; others have none.</summary>
    public string Page { get; init; } = "Page";

    /// <summary>The columns that are read, none twice.</summary>
    internal IEnumerable<string> Sources => new[] { Prompt, Story, Characters }.OfType<string>().Distinct();

    internal void Check(IExceptionContext context, DataViewSchema schema)
    {
        foreach (var name in Sources)
        {
            if (schema.GetColumnOrNull(name) is not { } column)
                throw context.ExceptSchemaMismatch(nameof(schema), "source", name);
            if (column.Type is not TextDataViewType)
                throw context.ExceptSchemaMismatch(nameof(schema), "source", name, "text", column.Type.ToString());
        }
    }

    internal void Check(IExceptionContext context, SchemaShape shape)
    {
        foreach (var name in Sources)
        {
            if (!shape.TryFindColumn(name, out var column))
                throw context.ExceptSchemaMismatch(nameof(shape), "source", name);
            if (column.ItemType is not TextDataViewType || column.Kind != SchemaShape.Column.VectorKind.Scalar)
                throw context.ExceptSchemaMismatch(nameof(shape), "source", name, "text", column.GetTypeString());
        }
    }

    internal void Save(ModelSaveContext context)
    {
        context.SaveNonEmptyString(Prompt);
        context.SaveStringOrNull(Story);
        context.SaveStringOrNull(Characters);
        context.SaveNonEmptyString(Picture);
        context.SaveNonEmptyString(Caption);
        context.SaveNonEmptyString(Page);
    }

    internal static StoryColumns Load(ModelLoadContext context) => new()
    {
        Prompt = context.LoadNonEmptyString(),
        Story = context.LoadStringOrNull(),
        Characters = context.LoadStringOrNull(),
        Picture = context.LoadNonEmptyString(),
        Caption = context.LoadNonEmptyString(),
        Page = context.LoadNonEmptyString(),
    };
}
