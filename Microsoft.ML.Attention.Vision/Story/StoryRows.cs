using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>What a story says in one row.</summary>
/// <param name="Picture">The row's picture; null where none could be made.</param>
/// <param name="Caption">The picture's caption.</param>
/// <param name="Page">A page of the story; null in most rows.</param>
/// <param name="Failure">Why there is no picture; null where there is one.</param>
internal sealed record StoryRow(PagePicture? Picture, string? Caption, PagePicture? Page, string? Failure);

/// <summary>
/// The stories in a source: their lines are read at once, and each is made when a row of it is wanted and forgotten after its last row.
/// </summary>
internal sealed class StoryRows : IDisposable
{
    private readonly StoryTransformer _transformer;
    private readonly IChannel _channel;
    private readonly CancellationToken _cancellation;
    private readonly Dictionary<string, List<Line>> _stories = [];
    private readonly List<string> _storyOf = [];
    private readonly Dictionary<string, Dictionary<long, StoryRow>> _made = [];

    public StoryRows(StoryTransformer transformer, IChannel channel, IDataView source, CancellationToken cancellation)
    {
        (_transformer, _channel, _cancellation) = (transformer, channel, cancellation);
        var columns = transformer.Columns;
        using var cursor = source.GetRowCursor(columns.Sources.Select(name => source.Schema[name]));
        var (prompt, story, characters) = (Getter(cursor, columns.Prompt), Getter(cursor, columns.Story), Getter(cursor, columns.Characters));
        while (cursor.MoveNext())
        {
            cancellation.ThrowIfCancellationRequested();
            var id = story();
            if (!_stories.TryGetValue(id, out var lines))
                _stories[id] = lines = [];
            lines.Add(new(cursor.Position, prompt(), characters()));
            _storyOf.Add(id);
        }
    }

    /// <summary>What the story of a row says in it.</summary>
    /// <param name="position">The row's place in the source.</param>
    public StoryRow Row(long position)
    {
        var id = _storyOf[(int)position];
        if (!_made.TryGetValue(id, out var rows))
        {
            foreach (var done in _made.Keys.Where(other => _stories[other][^1].Position < position).ToArray())
                _made.Remove(done);
            _made[id] = rows = Make(id);
        }
        return rows[position];
    }

    public void Dispose() => _channel.Dispose();

    private Dictionary<long, StoryRow> Make(string id)
    {
        var lines = _stories[id].ToLookup(line => line.Prompt.Length > 0);
        var good = lines[true].ToArray();
        var rows = lines[false].ToDictionary(line => line.Position, _ => Failed($"column '{_transformer.Columns.Prompt}' is empty"));
        if (Script(id, good, out var failure) is { } script && good.Length > 0)
        {
            var story = _transformer.Generator.Draw(script, _transformer.Progress, _cancellation).Story;
            for (var i = 0; i < good.Length; i++)
                rows[good[i].Position] = new(story.Pictures[i], story.Captions[i], story.Pages.ElementAtOrDefault(i), null);
        }
        else
        {
            foreach (var line in good)
                rows[line.Position] = Failed(failure);
        }
        foreach (var (position, row) in rows.OrderBy(row => row.Key))
        {
            if (row.Failure is { } reason)
                _transformer.ReportBadRow(position, reason, _channel);
        }
        return rows;

        static StoryRow Failed(string reason) => new(null, null, null, reason);
    }

    private StoryScript? Script(string id, Line[] lines, out string failure)
    {
        try
        {
            failure = "";
            var characters = _transformer.CharactersOf(_stories[id].Select(line => line.Characters));
            return _transformer.Generator.Script(characters, [.. lines.Select(line => line.Prompt)]);
        }
        catch (InvalidDataException e)
        {
            failure = id.Length > 0 ? $"story '{id}': {e.Message}" : e.Message;
            return null;
        }
    }

    private static Func<string> Getter(DataViewRowCursor cursor, string? column)
    {
        if (column is null)
            return () => "";
        var getter = cursor.GetGetter<ReadOnlyMemory<char>>(cursor.Schema[column]);
        return () =>
        {
            var value = default(ReadOnlyMemory<char>);
            getter(ref value);
            return value.ToString();
        };
    }

    private sealed record Line(long Position, string Prompt, string Characters);
}
