using System.Globalization;
using BatchScoring.Scoring;
using ParquetSharp;

namespace BatchScoring.Output;

/// <summary>The rows of a finished part file.</summary>
/// <param name="Rows">How many.</param>
/// <param name="Bad">How many of them have no scores.</param>
internal readonly record struct PartCounts(int Rows, int Bad);

/// <summary>A row without scores.</summary>
internal readonly record struct BadRow(string Path, string Status, string Error);

/// <summary>A Parquet file: path, status, error and the model's columns.</summary>
internal sealed class PartFile(IReadOnlyList<OutputColumn> scores)
{
    private const string BadRowsKey = "bad_rows";
    private readonly ScalarColumn<string> _path = new("path");
    private readonly ScalarColumn<string> _status = new("status");
    private readonly ScalarColumn<string> _error = new("error");
    private int _bad;

    public static IReadOnlyList<string> OwnColumns { get; } = ["path", "status", "error"];

    /// <summary>Adds the row that the scorer has just added to its columns.</summary>
    public void Add(string path, RowOutcome outcome)
    {
        _path.Add(path);
        _status.Add(outcome.StatusText);
        if (outcome.Error is { } error)
            _error.Add(error);
        else
            _error.AddMissing();
        _bad += outcome.IsBad ? 1 : 0;
    }

    public void Clear()
    {
        foreach (var column in Columns())
            column.Truncate(0);
        _bad = 0;
    }

    public void Write(string file)
    {
        var columns = Columns().ToArray();
        if (columns.FirstOrDefault(column => column.Count != _path.Count) is { } uneven)
            throw new InvalidOperationException($"Column '{uneven.Schema.Name}' has {uneven.Count} values for {_path.Count} rows.");
        var metadata = new Dictionary<string, string> { [BadRowsKey] = _bad.ToString(CultureInfo.InvariantCulture) };
        using var writer = new ParquetFileWriter(file, [.. columns.Select(column => column.Schema)], Compression.Zstd, metadata);
        using (var group = writer.AppendRowGroup())
        {
            foreach (var column in columns)
                column.Write(group);
        }
        writer.Close();
    }

    /// <summary>The counts of a part file, or null where it is not whole.</summary>
    public static PartCounts? Count(string file)
    {
        try
        {
            using var reader = new ParquetFileReader(file);
            using var metadata = reader.FileMetaData;
            return new((int)metadata.NumRows, int.Parse(metadata.KeyValueMetadata[BadRowsKey], CultureInfo.InvariantCulture));
        }
        catch (Exception error) when (error is ParquetException or KeyNotFoundException or FormatException)
        {
            return null;
        }
    }

    public static IEnumerable<BadRow> BadRows(string file)
    {
        using var reader = new ParquetFileReader(file);
        using var group = reader.RowGroup(0);
        var rows = (int)group.MetaData.NumRows;
        var statuses = Strings(1);
        var paths = Strings(0);
        var errors = Strings(2);
        for (var row = 0; row < rows; row++)
        {
            if (statuses[row] != RowOutcome.Ok.StatusText)
                yield return new(paths[row]!, statuses[row]!, errors[row]!);
        }

        string?[] Strings(int index)
        {
            using var column = group.Column(index).LogicalReader<string?>();
            return column.ReadAll(rows);
        }
    }

    private IEnumerable<OutputColumn> Columns() => [_path, _status, _error, .. scores];
}
