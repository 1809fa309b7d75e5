using Microsoft.ML;
using Microsoft.ML.Data;

namespace BatchScoring.Scoring;

/// <summary>
/// Paths as the data that a pipeline was saved with: the image column holds the paths (or the decoded pictures, where it is of an image
/// type), all other columns, a label for example, hold their type's default.
/// </summary>
internal sealed class PathsView(DataViewSchema schema, int imageColumn, ArraySegment<string> paths) : IDataView
{
    public DataViewSchema Schema => schema;

    public bool CanShuffle => false;

    public long? GetRowCount() => paths.Count;

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null) =>
        new Cursor(schema, imageColumn, paths, columnsNeeded.Select(column => column.Index).ToHashSet());

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];

    private sealed class Cursor(DataViewSchema schema, int imageColumn, ArraySegment<string> paths, HashSet<int> active) : DataViewRowCursor
    {
        private long _position = -1;

        public override DataViewSchema Schema => schema;

        public override long Position => _position;

        public override long Batch => 0;

        private string CurrentPath => Path.GetFullPath(paths[(int)_position]);

        public override bool MoveNext()
        {
            if (_position == paths.Count)
                return false;
            _position++;
            return _position < paths.Count;
        }

        public override bool IsColumnActive(DataViewSchema.Column column) => active.Contains(column.Index);

        public override ValueGetter<DataViewRowId> GetIdGetter() => (ref id) => id = new((ulong)_position, 0);

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
        {
            if (column.Index == imageColumn)
                return (ValueGetter<TValue>)(column.Type is TextDataViewType ? PathGetter() : PictureGetter());
            if (column.Type is not VectorDataViewType vector)
                return (ref value) => value = default!;
            var empty = typeof(TValue).GetConstructor([typeof(int), typeof(int), vector.ItemType.RawType.MakeArrayType(), typeof(int[])])!
                .Invoke([vector.Size, 0, null, null]);
            return (ref value) => value = (TValue)empty;
        }

        private Delegate PathGetter() => (ValueGetter<ReadOnlyMemory<char>>)((ref value) => value = CurrentPath.AsMemory());

        private Delegate PictureGetter() => (ValueGetter<MLImage>)((ref value) =>
        {
            value?.Dispose();
            value = MLImage.CreateFromFile(CurrentPath);
        });
    }
}
