using Microsoft.ML;

namespace FashionMnist;

/// <summary>The 60,000 training pictures in two parts, and the 10,000 test pictures.</summary>
internal sealed class DataSet
{
    private const int ValidationCount = 5_000;

    /// <summary>Keeps the last 5,000 training pictures for validation.</summary>
    /// <param name="train">The training pictures.</param>
    /// <param name="test">The test pictures.</param>
    /// <param name="count">Train on so many; null for all.</param>
    public DataSet(IReadOnlyList<LabelledPicture> train, IReadOnlyList<LabelledPicture> test, int? count)
    {
        Train = [.. train.Take(Math.Min(count ?? int.MaxValue, train.Count - ValidationCount))];
        Validation = [.. train.TakeLast(ValidationCount)];
        Test = test;
    }

    public IReadOnlyList<LabelledPicture> Train { get; }

    public IReadOnlyList<LabelledPicture> Validation { get; }

    public IReadOnlyList<LabelledPicture> Test { get; }
}
