using ParquetSharp;

namespace Samples.Tests.BatchScoring;

/// <summary>A row of the program's output.</summary>
internal sealed record ScoredRow(string Path, string Status, string? Error, string? PredictedLabel, float[]? Score)
{
    /// <summary>All rows of a folder's part files, in the order of the files' names.</summary>
    public static ScoredRow[] ReadAll(string folder) =>
        [.. Directory.GetFiles(folder, "part-*.parquet").Order(StringComparer.Ordinal).SelectMany(Read)];

    public static ScoredRow[] Read(string file)
    {
        using var reader = new ParquetFileReader(file);
        using var group = reader.RowGroup(0);
        var rows = (int)group.MetaData.NumRows;
        var path = Column<string>("path");
        var status = Column<string>("status");
        var error = Column<string?>("error");
        var label = Column<string?>("PredictedLabel");
        var score = Column<float[]?>("Score");
        return [.. Enumerable.Range(0, rows).Select(row => new ScoredRow(path[row], status[row], error[row], label[row], score[row]))];

        T[] Column<T>(string name)
        {
            var names = reader.FileMetaData.Schema;
            for (var index = 0; index < group.MetaData.NumColumns; index++)
            {
                if (names.Column(index).Path.ToDotVector()[0] != name)
                    continue;
                using var column = group.Column(index).LogicalReader<T>();
                return column.ReadAll(rows);
            }
            throw new InvalidDataException($"'{file}' has no column '{name}'.");
        }
    }
}
