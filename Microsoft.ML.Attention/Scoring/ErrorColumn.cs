using Microsoft.ML.Data;

namespace Microsoft.ML.Attention;

/// <summary>Says why a row could not be scored; empty for good rows.</summary>
internal sealed class ErrorColumn(string name) : OutputColumn(name)
{
    public override DataViewType Type => TextDataViewType.Instance;

    public override Delegate CreateGetter(ScoredRow row) =>
        (ValueGetter<ReadOnlyMemory<char>>)((ref ReadOnlyMemory<char> value) => value = row.Failure?.Message.AsMemory() ?? default);
}
