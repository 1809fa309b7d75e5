using BatchScoring.Output;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace BatchScoring.Scoring;

/// <summary>Moves a column of a pipeline's result into a column of the output.</summary>
internal abstract class PipelineColumn(DataViewSchema.Column source, OutputColumn target)
{
    public DataViewSchema.Column Source => source;

    public OutputColumn Target => target;

    /// <summary>Gives an action that adds the value of the row's current position to <see cref="Target"/>.</summary>
    public abstract Action Bind(DataViewRow row);

    /// <summary>The column's counterpart, or null where Parquet has no type for it.</summary>
    public static PipelineColumn? TryCreate(DataViewSchema.Column column)
    {
        var item = (column.Type as VectorDataViewType)?.ItemType ?? column.Type;
        if (item is KeyDataViewType && HasTextKeys(column))
            return (PipelineColumn)Activator.CreateInstance(typeof(KeyPipelineColumn<>).MakeGenericType(item.RawType), column)!;
        if (item is TextDataViewType)
            return column.Type is VectorDataViewType ? new TextListPipelineColumn(column) : new TextPipelineColumn(column);
        if (item is not (NumberDataViewType or BooleanDataViewType or KeyDataViewType or DateTimeDataViewType))
            return null;
        var definition = column.Type is VectorDataViewType ? typeof(ListPipelineColumn<>) : typeof(ScalarPipelineColumn<>);
        return (PipelineColumn)Activator.CreateInstance(definition.MakeGenericType(item.RawType), column)!;
    }

    private static bool HasTextKeys(DataViewSchema.Column column) =>
        column.Type is KeyDataViewType
        && column.Annotations.Schema.GetColumnOrNull("KeyValues")?.Type is VectorDataViewType { ItemType: TextDataViewType };

    private sealed class ScalarPipelineColumn<T>(DataViewSchema.Column source) : PipelineColumn(source, new ScalarColumn<T?>(source.Name))
        where T : struct
    {
        public override Action Bind(DataViewRow row)
        {
            var getter = row.GetGetter<T>(Source);
            var target = (ScalarColumn<T?>)Target;
            T value = default;
            return () =>
            {
                getter(ref value);
                target.Add(value);
            };
        }
    }

    private sealed class ListPipelineColumn<T>(DataViewSchema.Column source) : PipelineColumn(source, new ListColumn<T>(source.Name))
        where T : struct
    {
        public override Action Bind(DataViewRow row)
        {
            var getter = row.GetGetter<VBuffer<T>>(Source);
            var target = (ListColumn<T>)Target;
            VBuffer<T> value = default;
            VBuffer<T> dense = default;
            return () =>
            {
                getter(ref value);
                value.CopyToDense(ref dense);
                target.Add(dense.GetValues());
            };
        }
    }

    private sealed class TextPipelineColumn(DataViewSchema.Column source) : PipelineColumn(source, new ScalarColumn<string>(source.Name))
    {
        public override Action Bind(DataViewRow row)
        {
            var getter = row.GetGetter<ReadOnlyMemory<char>>(Source);
            var target = (ScalarColumn<string>)Target;
            ReadOnlyMemory<char> value = default;
            return () =>
            {
                getter(ref value);
                target.Add(value.ToString());
            };
        }
    }

    private sealed class TextListPipelineColumn(DataViewSchema.Column source) : PipelineColumn(source, new ListColumn<string>(source.Name))
    {
        public override Action Bind(DataViewRow row)
        {
            var getter = row.GetGetter<VBuffer<ReadOnlyMemory<char>>>(Source);
            var target = (ListColumn<string>)Target;
            VBuffer<ReadOnlyMemory<char>> value = default;
            return () =>
            {
                getter(ref value);
                target.Add(Array.ConvertAll([.. value.DenseValues()], text => text.ToString()));
            };
        }
    }

    /// <summary>A key column, PredictedLabel for example, as the text that its keys stand for.</summary>
    private sealed class KeyPipelineColumn<T>(DataViewSchema.Column source) : PipelineColumn(source, new ScalarColumn<string>(source.Name))
        where T : struct
    {
        public override Action Bind(DataViewRow row)
        {
            VBuffer<ReadOnlyMemory<char>> keyValues = default;
            Source.GetKeyValues(ref keyValues);
            var names = Array.ConvertAll([.. keyValues.DenseValues()], text => text.ToString());
            var getter = row.GetGetter<T>(Source);
            var target = (ScalarColumn<string>)Target;
            T value = default;
            return () =>
            {
                getter(ref value);
                var key = Convert.ToInt64(value, null);
                if (key == 0)
                    target.AddMissing();
                else
                    target.Add(names[key - 1]);
            };
        }
    }
}
