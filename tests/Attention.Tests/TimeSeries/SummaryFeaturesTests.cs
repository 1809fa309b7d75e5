using ClinicalTimeSeries;

namespace Microsoft.ML.Attention.Tests.TimeSeries;

public class SummaryFeaturesTests
{
    [Fact]
    public void FeaturesAreThoseComputedByHand()
    {
        const float None = float.NaN;
        // Of a: 1, 2, 6 at 0, 1, 3, whose products of deviations sum to 24/3 and squares of times to 14/3; of b one value; of c none.
        var features = SummaryFeatures.Of([0, 1, 3], [1, 5, None, 2, None, None, 6, None, None], 3);
        Assert.Equal([6, 3, 1, 6, MathF.Sqrt(7), 24f / 14, 3], features[..7], (a, b) => Math.Abs(a - b) < 1e-5);
        Assert.Equal([5, 5, 5, 5, None, None, 1], features[7..14]);
        Assert.Equal([None, None, None, None, None, None, 0], features[14..]);
    }

    [Fact]
    public void ARecordKeepsTheLastOfTwoValuesAndNoImpossibleOnes()
    {
        string[] lines = ["Time,Parameter,Value", "00:00,RecordID,1", "00:00,Age,-1", "00:10,HR,80", "00:10,HR,90", "01:30,Temp,7.5", "01:30,pH,7.3"];
        var rows = PhysioNet2012.ReadRecord("1", died: true, lines).ToArray();
        Assert.Equal([0, 1 / 6f, 1.5f], rows.Select(row => row.Time));
        Assert.All(rows[0].Values, value => Assert.True(float.IsNaN(value)));
        Assert.Equal(90, rows[1].Values[14]);
        Assert.Equal([7.3f], rows[2].Values.Where(float.IsFinite));
        var error = Assert.Throws<InvalidDataException>(() => PhysioNet2012.ReadRecord("1", false, ["Time,Parameter,Value", "noon,HR,80"]).Count());
        Assert.Contains("Line 2 of record 1", error.Message);
    }
}
